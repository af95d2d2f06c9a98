import assert from 'node:assert/strict';
import { BadRequestException, Injectable, type PipeTransform, UseGuards, UsePipes } from '@nestjs/common';
import { Command, defineCommand } from '../../bus/command-definition.js';
import { DeadLetterError, NoHandlerError, RetryLaterError } from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import { commandGroupOf, commandHandler, rejection, remoteError } from './commands.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { DOUBLING } from './doubling.schema.js';
import { Log } from './log.js';
import { until } from './until.js';

@Event('orders.place')
class PlaceOrder extends Command<{ readonly id: string }> {
  constructor(readonly article: string) {
    super();
  }
}

@Event('orders.place', { version: 2 })
class PlaceOrderAnew extends Command<string> {
  readonly articles: readonly string[] = ['tea'];
}

class OutOfStock extends Error {
  override readonly name = 'OutOfStock';
  readonly code = 'OUT_OF_STOCK';
  readonly details = { left: 0, of: ['gold'] };
  readonly retryable = true;
}

@Injectable()
class NumberPipe implements PipeTransform {
  transform(value: unknown): unknown {
    if (typeof value !== 'number') throw new BadRequestException(['it must be a number']);
    return value;
  }
}

/** What whoever asks is answered. */
export const COMMAND_CASES: readonly ContractCase[] = [
  busCase('commands: a request resolves with what the handler returns, whatever it is', async (bench) => {
    const values = [{ id: '1', list: [1, null] }, undefined, null, 0, '', false, 'text', [], Number.MAX_SAFE_INTEGER];
    const handler = commandHandler('values.get', (at) => values[Number(at)]);
    const { bus } = await bench.start({ providers: [handler] });
    const answers = await Promise.all(values.map((_, at) => bus.request('values.get', at)));
    assert.deepEqual(answers, values);
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase('commands: of a class, of a definition and by their topic they are the same', async (bench) => {
    const seen = new Log<unknown>('payloads');
    const handler = commandHandler(PlaceOrder, (payload) => {
      seen.add(payload);
      return { id: 'id' };
    });
    const { bus } = await bench.start({ providers: [handler] });
    const payload = { article: 'tea' };
    const definition = defineCommand<{ article: string }, { id: string }>('orders.place');
    assert.deepEqual(await bus.request(new PlaceOrder('tea')), { id: 'id' });
    assert.deepEqual(await bus.request(PlaceOrder, payload), { id: 'id' });
    assert.deepEqual(await bus.request(definition, payload), { id: 'id' });
    assert.deepEqual(await bus.request('orders.place', payload), { id: 'id' });
    await bus.send(new PlaceOrder('tea'));
    await bus.send(PlaceOrder, payload);
    await bus.send(definition, payload);
    const receipt = await bus.send('orders.place', payload);
    assert.equal(receipt.state, 'confirmed');
    assert.deepEqual(
      await seen.settle(8),
      Array.from({ length: 8 }, () => payload),
    );
  }),

  busCase('commands: what the handler throws is the answer, without a stack', async (bench) => {
    const handler = commandHandler('orders.place', () => {
      throw new OutOfStock('none left');
    });
    const { bus } = await bench.start({ providers: [handler] });
    const error = await remoteError(bus.request('orders.place', 1));
    const { name, message, code, details, retryable, topic, remoteStack } = error;
    assert.deepEqual(
      { name, message, code, details, retryable, topic, remoteStack },
      {
        name: 'OutOfStock',
        message: 'none left',
        code: 'OUT_OF_STOCK',
        details: { left: 0, of: ['gold'] },
        retryable: true,
        topic: 'orders.place',
        remoteStack: undefined,
      },
    );
    assert.doesNotMatch(JSON.stringify(error), /bus\.command\.cases/);
  }),

  busCase('commands: with request.errorStacks the answer says where it was thrown', async (bench) => {
    const handler = commandHandler('orders.place', () => {
      throw new OutOfStock('none left');
    });
    const { bus } = await bench.start({ providers: [handler], options: { request: { errorStacks: true } } });
    const { remoteStack = '' } = await remoteError(bus.request('orders.place', 1));
    assert.match(remoteStack, /bus\.command\.cases/);
  }),

  busCase('commands: whatever else is thrown is a RemoteError too, and the next one is answered', async (bench) => {
    const hostile = Object.defineProperties(new Error('hidden'), {
      message: { get: () => assert.fail('a getter that throws') },
      details: { get: () => assert.fail('a getter that throws') },
    });
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const things: readonly unknown[] = [
      'a text',
      { reason: 'an object' },
      undefined,
      null,
      42,
      Symbol('s'),
      new RetryLaterError(5),
      new DeadLetterError('of no use'),
      hostile,
      Object.assign(new Error('loop'), { details: circular }),
      Object.assign(new Error('big'), { details: 1n }),
      Object.assign(new Error('odd'), { name: 7, message: { not: 'a text' }, code: {} }),
    ];
    const handler = commandHandler('things.throw', (at) => {
      throw things[Number(at)];
    });
    const { bus, deadLetters, statsOf } = await bench.start({ providers: [handler] });
    const errors = await Promise.all(things.map((_, at) => remoteError(bus.request('things.throw', at))));
    assert.deepEqual([errors[0]?.name, errors[0]?.message], ['Error', 'a text']);
    assert.deepEqual(errors[1]?.details, { reason: 'an object' });
    assert.deepEqual([errors[9]?.message, errors[10]?.message], ['loop', 'big']);
    const group = commandGroupOf(bench, 'things.throw');
    await until('all are settled', () => statsOf(group).running === 0);
    const { retried, deferred, deadLettered } = statsOf(group);
    assert.deepEqual({ retried, deferred, deadLettered }, { retried: 0, deferred: 0, deadLettered: 0 });
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase(
    'commands: a guard that denies answers FORBIDDEN, a pipe or a schema VALIDATION with details',
    async (bench) => {
      const calls = new Log<unknown>('calls');
      @Injectable()
      class Orders {
        @UseGuards({ canActivate: () => false })
        @OnCommand('orders.guarded')
        guarded(): void {
          calls.add('guarded');
        }
        @UsePipes(NumberPipe)
        @OnCommand('orders.piped')
        piped(): void {
          calls.add('piped');
        }
        @OnCommand('orders.checked', { schema: DOUBLING })
        checked({ n }: { n: number }): number {
          return n;
        }
      }
      const { bus, deadLetters } = await bench.start({ providers: [Orders] });
      const guarded = await remoteError(bus.request('orders.guarded', 'x'));
      assert.equal(guarded.code, 'FORBIDDEN');
      const piped = await remoteError(bus.request('orders.piped', 'x'));
      assert.equal(piped.code, 'VALIDATION');
      assert.match(JSON.stringify(piped.details), /it must be a number/);
      const checked = await remoteError(bus.request('orders.checked', { n: 'x' }));
      assert.equal(checked.code, 'VALIDATION');
      assert.match(JSON.stringify(checked.details), /must be a number/);
      assert.equal(await bus.request('orders.checked', { n: 2 }), 4);
      assert.equal(calls.length, 0);
      for (const topic of ['orders.guarded', 'orders.piped', 'orders.checked'])
        assert.equal(await deadLetters.count(commandGroupOf(bench, topic)), 0);
    },
  ),

  busCase('commands: of a version that nobody understands: the request is answered at once', async (bench) => {
    const { bus } = await bench.start({ providers: [commandHandler(PlaceOrder, () => ({ id: 'id' }))] });
    const before = Date.now();
    const error = await remoteError(bus.request(new PlaceOrderAnew()));
    assert.ok(Date.now() - before < 2_000);
    assert.equal(error.name, 'Unmatched');
  }),

  busCase('commands: without a queue, request and send reject NoHandlerError at once', async (bench) => {
    const { bus } = await bench.start();
    const before = Date.now();
    assert.ok((await rejection(bus.request('nobody.there', 1))) instanceof NoHandlerError);
    assert.ok((await rejection(bus.send('nobody.there', 1))) instanceof NoHandlerError);
    assert.ok(Date.now() - before < 2_000);
    assert.equal(bus.stats().pendingRequests, 0);
  }),

  busCase(
    'commands: a request is one attempt, whatever the retry policy; send is retried, buried, replayed',
    async (bench) => {
      const attempts = new Log<string>('attempts');
      let isMended = false;
      const handler = commandHandler('orders.place', (payload, { attempt }) => {
        attempts.add(`${String(payload)} ${attempt}`);
        if (!isMended) throw new OutOfStock('none left');
      });
      const { bus, deadLetters, buried } = await bench.start({ providers: [handler] });
      const group = commandGroupOf(bench, 'orders.place');
      assert.equal((await remoteError(bus.request('orders.place', 'asked'))).code, 'OUT_OF_STOCK');
      assert.deepEqual(await attempts.settle(1), ['asked 1']);
      assert.equal(await deadLetters.count(group), 0);
      await bus.send('orders.place', 'sent');
      const [letter] = await buried(group);
      assert.deepEqual([letter?.payload, letter?.reason, letter?.attempts], ['sent', 'attempts-exhausted', 3]);
      isMended = true;
      const replayed = await deadLetters.replay(group, { limit: 10 });
      assert.equal(replayed, 1);
      assert.deepEqual((await attempts.settle(5)).slice(1), ['sent 1', 'sent 2', 'sent 3', 'sent 1']);
      assert.equal(await deadLetters.count(group), 0);
    },
  ),

  busCase(
    'commands: idempotent: sent twice with one id handled once; a request is handled each time',
    async (bench) => {
      const seen = new Log<unknown>('payloads');
      const handler = commandHandler('orders.place', seen.add, { idempotent: true });
      const { bus } = await bench.start({ providers: [handler] });
      const id = `${bench.name}-1`;
      await bus.send('orders.place', 'sent', { id });
      await seen.reach(1);
      await bus.send('orders.place', 'sent again', { id });
      await bus.request('orders.place', 'asked', { id });
      await bus.request('orders.place', 'asked again', { id });
      assert.deepEqual(await seen.settle(3), ['sent', 'asked', 'asked again']);
    },
  ),

  busCase(
    'commands: what the handler emits is published before the answer, else that is the answer; not when it fails',
    async (bench) => {
      const events = new Log<unknown>('events');
      const handler = commandHandler('orders.place', (payload, context) => {
        context.emit('orders.placed', payload);
        if (payload === 'gold') throw new OutOfStock('none left');
        return 'id';
      });
      const { bus } = await bench.start({ providers: [handler], options: { publish: { unroutable: 'reject' } } });
      const unpublished = await remoteError(bus.request('orders.place', 'air'));
      assert.equal(unpublished.code, 'EMIT_FAILED');
      await bus.subscribe('orders.placed', events.add);
      assert.equal(await bus.request('orders.place', 'tea'), 'id');
      assert.ok(bus.stats().confirmed >= 1, 'published before the answer');
      await remoteError(bus.request('orders.place', 'gold'));
      assert.deepEqual(await events.settle(1), ['tea']);
    },
  ),
];
