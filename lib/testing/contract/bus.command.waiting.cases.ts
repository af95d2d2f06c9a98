import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { BusClosedError, RequestTimeoutError } from '../../core/errors.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import { EventBusService } from '../../event-bus.service.js';
import { commandGroupOf, commandHandler, rejection, remoteError, untilAborted } from './commands.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

/** How late a handler may learn that nobody waits any more. */
const SOON_MS = 1_000;

/** A handler that runs until it is told to stop, and what it was told. */
function endless(seen: Log<unknown>, reasons: Log<unknown>, topic = 'work') {
  return commandHandler(topic, async (payload, { signal }) => {
    seen.add(payload);
    await untilAborted(signal).catch((reason: unknown) => reasons.add(reason));
  });
}

function codesOf(reasons: readonly unknown[]): readonly unknown[] {
  return reasons.map((reason) => (reason as { readonly code?: unknown }).code);
}

/** How long a request waits, and what becomes of its handler. */
export const COMMAND_WAITING_CASES: readonly ContractCase[] = [
  busCase(
    'commands: declared but not consumed: the request waits, times out and is not started later',
    async (bench) => {
      const seen = new Log<unknown>('payloads');
      const { bus, statsOf } = await bench.start({
        providers: [commandHandler('work', seen.add)],
        options: { autoStart: false },
      });
      const before = Date.now();
      const error = await rejection(bus.request('work', 'asked', { timeoutMs: 200 }));
      assert.ok(error instanceof RequestTimeoutError);
      assert.ok(Date.now() - before >= 195);
      await bus.send('work', 'sent');
      await bus.start();
      assert.deepEqual(await seen.settle(1), ['sent']);
      assert.ok(statsOf(commandGroupOf(bench, 'work')).expired <= 1);
    },
  ),

  busCase(
    'commands: an instance that does not consume declares the queue, and what has expired no other instance starts',
    async (bench) => {
      const seen = new Log<unknown>('payloads');
      const providers = [commandHandler('work', seen.add)];
      const api = await bench.start({ providers, options: { consume: { enabled: false } } });
      const globbed = { consume: { groups: { '*.command.*': { enabled: false } } } };
      const other = await bench.start({ providers, options: globbed });
      for (const { bus } of [api, other])
        assert.ok((await rejection(bus.request('work', 'asked', { timeoutMs: 100 }))) instanceof RequestTimeoutError);
      await bench.start({ providers });
      await api.bus.request('work', 'later');
      assert.deepEqual(await seen.settle(1), ['later']);
    },
    'shared',
  ),

  busCase('commands: after its time the request rejects, and the signal of its handler is aborted', async (bench) => {
    const [seen, reasons] = [new Log<unknown>('payloads'), new Log<unknown>('reasons')];
    const { bus, deadLetters, statsOf } = await bench.start({ providers: [endless(seen, reasons)] });
    const error = await rejection(bus.request('work', 1, { timeoutMs: 150 }));
    const at = Date.now();
    assert.ok(error instanceof RequestTimeoutError);
    assert.equal(error.retryable, true);
    const [reason] = await reasons.reach(1);
    assert.ok(Date.now() - at < SOON_MS);
    assert.ok(reason instanceof RequestTimeoutError);
    const group = commandGroupOf(bench, 'work');
    await until('it is settled', () => statsOf(group).running === 0);
    assert.equal(await deadLetters.count(group), 0);
    await seen.settle(1);
  }),

  busCase('commands: who stops waiting has the reason at once, and the handler hears of it', async (bench) => {
    const [seen, reasons] = [new Log<unknown>('payloads'), new Log<unknown>('reasons')];
    const { bus } = await bench.start({ providers: [endless(seen, reasons)] });
    const end = new AbortController();
    const answer = rejection(bus.request('work', 1, { signal: end.signal }));
    await seen.reach(1);
    const at = Date.now();
    end.abort(new Error('not any more'));
    assert.equal(await answer, end.signal.reason);
    assert.equal(bus.stats().pendingRequests, 0);
    assert.deepEqual(codesOf(await reasons.reach(1)), ['REQUEST_CANCELLED']);
    assert.ok(Date.now() - at < SOON_MS);
  }),

  busCase(
    'commands: who stops waiting stops the handler in another instance',
    async (bench) => {
      const [seen, reasons] = [new Log<unknown>('payloads'), new Log<unknown>('reasons')];
      const { bus } = await bench.start({ options: { service: `${bench.name}.api` } });
      await bench.start({ providers: [endless(seen, reasons)] });
      const end = new AbortController();
      const answer = rejection(bus.request('work', 1, { signal: end.signal }));
      await seen.reach(1);
      const at = Date.now();
      end.abort(new Error('not any more'));
      assert.equal(await answer, end.signal.reason);
      assert.deepEqual(codesOf(await reasons.reach(1)), ['REQUEST_CANCELLED']);
      assert.ok(Date.now() - at < SOON_MS);
    },
    'shared',
  ),

  busCase('commands: what was aborted before it was sent is not sent', async (bench) => {
    const seen = new Log<unknown>('payloads');
    const { bus } = await bench.start({ providers: [commandHandler('work', seen.add)] });
    const aborted = AbortSignal.abort(new Error('too late'));
    assert.equal(await rejection(bus.request('work', 'before', { signal: aborted })), aborted.reason);
    const end = new AbortController();
    const answer = rejection(bus.request('work', 'at once', { signal: end.signal }));
    end.abort(new Error('at once'));
    assert.equal(await answer, end.signal.reason);
    await bus.request('work', 'after');
    assert.deepEqual(await seen.settle(1), ['after']);
  }),

  busCase('commands: what is given up while it waits in the queue is not started', async (bench) => {
    const seen = new Log<unknown>('payloads');
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const handler = commandHandler(
      'work',
      async (payload) => {
        seen.add(payload);
        await finished;
      },
      { concurrency: 1 },
    );
    const { bus, statsOf } = await bench.start({ providers: [handler] });
    const first = bus.request('work', 'first');
    await seen.reach(1);
    const end = new AbortController();
    const second = rejection(bus.request('work', 'second', { signal: end.signal }));
    await until('the second one waits', () => statsOf(commandGroupOf(bench, 'work')).waiting === 1);
    end.abort(new Error('not any more'));
    await second;
    await quiet(); // for all instances to hear of it
    finish();
    await first;
    await bus.request('work', 'third');
    assert.deepEqual(await seen.settle(2), ['first', 'third']);
  }),

  busCase('commands: what a handler asks has what is left of its time, its chain, and ends with it', async (bench) => {
    const inner = new Log<EventContext>('inner contexts');
    const reasons = new Log<unknown>('reasons');
    @Injectable()
    class Orders {
      constructor(private readonly bus: EventBusService) {}
      @OnCommand('outer')
      async outer(): Promise<unknown> {
        return this.bus.request('inner', 1, { timeoutMs: 60_000 });
      }
      @OnCommand('inner')
      async inner(_: unknown, context: EventContext): Promise<void> {
        inner.add(context);
        await untilAborted(context.signal).catch((reason: unknown) => reasons.add(reason));
      }
    }
    const { bus } = await bench.start({ providers: [Orders] });
    const id = `${bench.name}-outer`;
    const end = new AbortController();
    const ids = { id, correlationId: 'c-1' };
    const answer = rejection(bus.request('outer', 1, { ...ids, timeoutMs: 5_000, signal: end.signal }));
    const [context] = await inner.reach(1);
    const { correlationId, causationId, expiresAt = 0 } = (context as EventContext).message;
    assert.deepEqual([correlationId, causationId], ['c-1', id]);
    assert.ok(expiresAt - Date.now() <= 5_000, `${expiresAt - Date.now()} ms are left`);
    end.abort(new Error('not any more'));
    assert.equal(await answer, end.signal.reason);
    assert.deepEqual(codesOf(await reasons.reach(1)), ['REQUEST_CANCELLED']);
    await until('nothing is asked any more', () => bus.stats().pendingRequests === 0);
  }),

  busCase('commands: a handler that runs too long is answered for, once, when it has ended', async (bench) => {
    const reasons = new Log<unknown>('reasons');
    const handler = commandHandler(
      'work',
      async (_, { signal }) => {
        await untilAborted(signal).catch((reason: unknown) => reasons.add(reason));
      },
      { timeoutMs: 100 },
    );
    const { bus, lines, deadLetters } = await bench.start({ providers: [handler] });
    const error = await remoteError(bus.request('work', 1));
    assert.equal(error.code, 'HANDLER_TIMEOUT');
    await reasons.settle(1);
    assert.equal(await deadLetters.count(commandGroupOf(bench, 'work')), 0);
    assert.deepEqual(
      lines.filter((line) => line.includes('could not be answered')),
      [],
    );
  }),

  busCase('commands: close rejects what is asked, at once and with a signal too', async (bench) => {
    const { app, bus } = await bench.start({
      providers: [commandHandler('work', () => undefined)],
      options: { autoStart: false, shutdown: { deadlineMs: 500 } },
    });
    const { signal } = new AbortController();
    const answers = [bus.request('work', 1), bus.request('work', 2, { signal })].map(rejection);
    await until('they are asked', () => bus.stats().pendingRequests === 2);
    await app.close();
    const after = [bus.request('work', 3), bus.request('work', 4, { signal })].map(rejection);
    for (const error of await Promise.all([...answers, ...after]))
      assert.ok(error instanceof BusClosedError, String(error));
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase(
    'commands: while it closes, what runs may ask and is answered for',
    async (bench) => {
      const started = new Log<unknown>('starts');
      await bench.start({
        providers: [commandHandler('price', () => 7)],
        options: { service: `${bench.name}.prices` },
      });
      @Injectable()
      class Orders {
        constructor(private readonly bus: EventBusService) {}
        @OnCommand('place')
        async place(): Promise<unknown> {
          started.add(1);
          await quiet(150);
          return ['placed', await this.bus.request('price')];
        }
      }
      const { app } = await bench.start({ providers: [Orders] });
      const { bus } = await bench.start({ options: { service: `${bench.name}.api` } });
      const answer = bus.request('place', 1);
      await started.reach(1);
      await app.close();
      assert.deepEqual(await answer, ['placed', 7]);
    },
    'shared',
  ),

  busCase(
    'commands: what an instance could not finish before it ended another one answers',
    async (bench) => {
      const started = new Log<string>('starts');
      const slow = commandHandler('work', async (_, { signal }) => {
        started.add('first');
        await untilAborted(signal);
      });
      const first = await bench.start({ providers: [slow], options: { shutdown: { deadlineMs: 200 } } });
      const { bus } = await bench.start({ options: { service: `${bench.name}.api` } });
      const answer = bus.request('work', 1);
      await started.reach(1);
      await bench.start({ providers: [commandHandler('work', () => 'second')] });
      await first.app.close();
      assert.equal(await answer, 'second');
    },
    'shared',
  ),
];
