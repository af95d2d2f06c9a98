import assert from 'node:assert/strict';
import { type ArgumentsHost, Catch, type ExceptionFilter, Injectable, UseFilters } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import type { Message } from '../../core/message.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import { EventBusService } from '../../event-bus.service.js';
import { rejection, untilAborted } from './commands.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

async function readAll(values: AsyncIterable<unknown>): Promise<readonly unknown[]> {
  const read: unknown[] = [];
  for await (const value of values) read.push(value);
  return read;
}

/** Answers in parts, of handlers that ask, publish and emit themselves. */
export const STREAM_CHAIN_CASES: readonly ContractCase[] = [
  busCase(
    'stream: what a handler reads has what is left of its time to begin, its chain, and ends with it',
    async (bench) => {
      const inner = new Log<Message>('inner requests');
      const reasons = new Log<unknown>('reasons');
      @Injectable()
      class Rows {
        constructor(private readonly bus: EventBusService) {}
        @OnCommand('outer')
        async *outer(): AsyncGenerator<unknown> {
          yield* this.bus.requestStream('inner', 1, { timeoutMs: 60_000 });
        }
        @OnCommand('handed')
        handed(): unknown {
          return this.bus.requestStream('inner', 1, { timeoutMs: 60_000 }); // read when the method has returned
        }
        @OnCommand('summed')
        async summed(): Promise<unknown> {
          return readAll(this.bus.requestStream('inner', 1, { timeoutMs: 60_000 }));
        }
        @OnCommand('inner')
        async *inner(_: unknown, { message, signal }: EventContext): AsyncGenerator<number> {
          inner.add(message);
          yield 1;
          await untilAborted(signal).catch((reason: { readonly code?: unknown }) => reasons.add(reason.code));
        }
      }
      const { bus } = await bench.start({ providers: [Rows] });
      const end = new AbortController();
      for (const topic of ['outer', 'handed', 'summed']) {
        const id = `${bench.name}-${topic}`;
        const options = { id, correlationId: 'c-1', timeoutMs: 5_000 };
        if (topic === 'summed') {
          const answer = rejection(bus.request(topic, 1, { ...options, signal: end.signal }));
          await inner.reach(3);
          end.abort(new Error('not any more'));
          assert.equal(await answer, end.signal.reason);
        } else {
          for await (const n of bus.requestStream(topic, 1, options)) {
            assert.equal(n, 1);
            break;
          }
        }
        const { correlationId, causationId, depth, expiresAt = 0 } = inner.items.at(-1) as Message;
        assert.deepEqual([correlationId, causationId, depth], ['c-1', id, 1]);
        assert.ok(expiresAt - Date.now() <= 5_000, `${expiresAt - Date.now()} ms are left`);
      }
      assert.deepEqual(
        await reasons.reach(3),
        Array.from({ length: 3 }, () => 'REQUEST_CANCELLED'),
      );
      await until('nothing is asked any more', () => bus.stats().pendingRequests === 0);
    },
  ),

  busCase('stream: what its handler asks when the answer has begun has time of its own', async (bench) => {
    @Injectable()
    class Rows {
      constructor(private readonly bus: EventBusService) {}
      @OnCommand('outer')
      async *outer(): AsyncGenerator<unknown> {
        for (let n = 0; n < 4; n++) {
          yield await this.bus.request('inner', n);
          await quiet(150);
        }
        yield* this.bus.requestStream('inner', 4);
      }
      @OnCommand('inner')
      inner(n: number): number {
        return n;
      }
    }
    const { bus } = await bench.start({ providers: [Rows] });
    assert.deepEqual(await readAll(bus.requestStream('outer', 1, { timeoutMs: 400 })), [0, 1, 2, 3, 4]);
  }),

  busCase('stream: what a generator publishes belongs to its chain, in each of its steps', async (bench) => {
    const seen = new Log<Message>('events');
    @Injectable()
    class Steps {
      constructor(private readonly bus: EventBusService) {}
      @OnCommand('steps')
      async *steps(): AsyncGenerator<number> {
        for (const n of [1, 2]) {
          await this.bus.publish('step', n);
          yield n;
        }
      }
      @OnEvent('begun')
      async *begun(): AsyncGenerator<number> {
        yield* this.steps();
      }
      @OnEvent('step')
      step(_: unknown, { message }: EventContext): void {
        seen.add(message);
      }
    }
    const { bus } = await bench.start({ providers: [Steps] });
    assert.deepEqual(await readAll(bus.requestStream('steps', 1, { id: 'r-1', window: 1 })), [1, 2]);
    await bus.publish('begun', 1, { id: 'e-1' });
    const messages = await seen.settle(4);
    assert.deepEqual(
      messages.map(({ depth }) => depth),
      [1, 1, 1, 1],
    );
    for (const id of ['r-1', 'e-1']) assert.equal(messages.filter(({ causationId }) => causationId === id).length, 2);
  }),

  busCase('stream: when a filter settles an error, what the generator has emitted is not published', async (bench) => {
    const mails = new Log<unknown>('mails');
    @Catch()
    class Settling implements ExceptionFilter {
      catch(_: unknown, host: ArgumentsHost): string {
        (host.getArgByIndex(1) as EventContext).emit('mail', 'of the filter');
        return 'settled';
      }
    }
    @Injectable()
    class Rows {
      @UseFilters(Settling)
      @OnCommand('rows')
      async *rows(_: unknown, context: EventContext): AsyncGenerator<unknown> {
        context.emit('mail', 'of the handler that failed');
        yield 1;
        throw new Error('settled by the filter');
      }
    }
    const { bus } = await bench.start({ providers: [Rows] });
    await bus.subscribe('mail', mails.add);
    assert.deepEqual(await readAll(bus.requestStream('rows')), [1, 'settled']);
    assert.deepEqual(await mails.settle(1), ['of the filter']);
  }),
];
