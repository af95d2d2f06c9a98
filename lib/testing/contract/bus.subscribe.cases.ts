import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { ConfigurationError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet, until } from './until.js';

/** Subscribing from code. */
export const SUBSCRIBE_CASES: readonly ContractCase[] = [
  busCase(
    'a subscription without a group gets every event from its promise on, until it is cancelled',
    async (bench) => {
      const { bus, transport } = await bench.start();
      const [one, two] = [new Log<unknown>('events'), new Log<unknown>('events')];
      await bus.publish('orders.created', 'too early');
      const first = await bus.subscribe('orders.*', one.add);
      const second = await bus.subscribe(['orders.created', 'orders.paid'], two.add);
      assert.deepEqual([first.state, first.pattern, first.group], ['active', 'orders.*', undefined]);
      assert.notEqual(first.id, second.id);
      assert.equal((await bus.publish('orders.created', 'for both')).routed, true);
      await Promise.all([one.settle(1), two.settle(1)]);
      await Promise.all([first.cancel(), first.cancel()]);
      assert.equal(first.state, 'cancelled');
      await bus.publish('orders.paid', 'for the second');
      assert.deepEqual(await two.settle(2), ['for both', 'for the second']);
      assert.deepEqual(one.items, ['for both']);
      await second.cancel();
      if (transport.capabilities.unroutable)
        assert.equal((await bus.publish('orders.created', 'nobody')).routed, false);
    },
  ),

  busCase('a subscription with a group leaves its queue behind; the next one takes up there', async (bench) => {
    const { bus } = await bench.start();
    const group = bench.group('readers');
    const [before, after] = [new Log<unknown>('events'), new Log<unknown>('events')];
    const first = await bus.subscribe('orders.*', before.add, { group });
    assert.equal(first.group, group);
    await bus.publish('orders.created', 1);
    await before.settle(1);
    await first.cancel();
    assert.equal((await bus.publish('orders.created', 2)).routed, true);
    await bus.subscribe('orders.*', after.add, { group });
    assert.deepEqual(await after.settle(1), [2]);
    assert.deepEqual(before.items, [1]);
  }),

  busCase('two subscriptions of one group share its events; other patterns in it are refused', async (bench) => {
    const { bus } = await bench.start();
    const group = bench.group('readers');
    const seen = new Log<number>('events');
    await bus.subscribe<number>('orders.*', seen.add, { group });
    await bus.subscribe<number>('orders.*', seen.add, { group });
    await assert.rejects(bus.subscribe('payments.*', seen.add as never, { group }), ConfigurationError);
    for (let i = 0; i < 20; i++) await bus.publish('orders.created', i);
    const numbers = (await seen.settle(20)).toSorted((a, b) => a - b);
    assert.deepEqual(
      numbers,
      Array.from({ length: 20 }, (_, i) => i),
    );
  }),

  busCase('publish reaches one member of each group, in turn; broadcast reaches them all', async (bench) => {
    const { bus } = await bench.start();
    const group = bench.group('readers');
    const seen = new Log<string>('events');
    const add = (name: string) => (n: unknown) => seen.add(`${name} ${String(n)}`);
    for (const name of ['a', 'b', 'c']) await bus.subscribe('orders.*', add(name), { group });
    await bus.subscribe('orders.*', add('other'), { group: bench.group('others') });
    const turns: string[] = [];
    for (let n = 0; n < 30; n++) {
      await bus.publish('orders.created', n);
      // one after the other, so that all members are free each time
      const [one, other] = (await seen.reach(2 * n + 2)).slice(2 * n).toSorted();
      assert.equal(other, `other ${n}`);
      turns.push(one?.split(' ')[0] ?? '');
    }
    // which of those that are free comes next is the broker's choice; nobody is left out
    const shares = ['a', 'b', 'c'].map((name) => turns.filter((turn) => turn === name).length);
    assert.ok(Math.min(...shares) >= 6 && Math.max(...shares) <= 14, `not in turn: ${turns.join()}`);
    await bus.broadcast('orders.created', 'all');
    assert.deepEqual((await seen.settle(64)).slice(60).toSorted(), ['a all', 'b all', 'c all', 'other all']);
  }),

  busCase(
    'a paused subscription gets nothing, and after resume everything; with a group and without',
    async (bench) => {
      const { bus } = await bench.start();
      for (const options of [{}, { group: bench.group('readers') }]) {
        const seen = new Log<unknown>('events');
        const subscription = await bus.subscribe('orders.*', seen.add, options);
        await subscription.pause();
        assert.equal(subscription.state, 'paused');
        await bus.publish('orders.created', 1);
        await bus.publish('orders.created', 2);
        await quiet();
        assert.equal(seen.length, 0);
        await subscription.resume();
        assert.equal(subscription.state, 'active');
        assert.deepEqual(new Set(await seen.settle(2)), new Set([1, 2]));
        await subscription.cancel();
      }
    },
  ),

  busCase('C15 cancel waits for the running handler and gives the rest back, no attempt counted', async (bench) => {
    const { bus, statsOf, deadLetters } = await bench.start();
    const group = bench.group('readers');
    const [started, ended, after] = [new Log<unknown>('starts'), new Log<unknown>('ends'), new Log<unknown>('events')];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = async (payload: unknown): Promise<void> => {
      started.add(payload);
      await gate;
      ended.add(payload);
    };
    const subscription = await bus.subscribe('orders.*', slow, { group, concurrency: 1, prefetch: 5 });
    for (let i = 0; i < 5; i++) await bus.publish('orders.created', i);
    await started.reach(1);
    await until('the others wait in the process', () => statsOf(group).waiting === 4);
    const cancelled = subscription.cancel();
    await quiet();
    assert.equal(ended.length, 0);
    release();
    await cancelled;
    assert.equal(ended.length, 1);
    await bus.subscribe('orders.*', (payload, { attempt }) => after.add([payload, attempt]), { group, concurrency: 1 });
    const rest = (await after.settle(4)).map((entry) => JSON.stringify(entry)).toSorted();
    assert.deepEqual(rest, ['[1,1]', '[2,1]', '[3,1]', '[4,1]']);
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase(
    'a failing subscription is retried by its policy; private dead letters are kept for the service',
    async (bench) => {
      const { bus, service, buried } = await bench.start();
      const attempts: string[] = [];
      const fail = (name: string) => (_payload: unknown, context: EventContext) => {
        attempts.push(`${name} ${context.attempt}`);
        throw new Error(`always ${name}`);
      };
      const group = bench.group('readers');
      const retry = { delaysMs: [20] };
      await bus.subscribe('orders.*', fail('shared'), { group, retry });
      await bus.subscribe('orders.*', fail('private'), { retry });
      await bus.publish('orders.created', { id: '7' });
      const [[shared], [own]] = [await buried(group), await buried(`${service}.broadcast`)];
      assert.deepEqual(attempts.toSorted(), ['private 1', 'private 2', 'shared 1', 'shared 2']);
      assert.equal(shared?.error?.message, 'always shared');
      assert.equal(own?.error?.message, 'always private');
      for (const letter of [shared, own]) assert.deepEqual(letter?.payload, { id: '7' });
    },
  ),

  busCase('observe is an Observable of the events; unsubscribing ends it', async (bench) => {
    const { bus, transport } = await bench.start();
    const [seen, errors] = [new Log<unknown>('events'), new Log<unknown>('errors')];
    const subscription = bus.observe<number>('orders.#').subscribe({
      next: ({ payload, topic, headers, message }) => seen.add([payload, topic, { ...headers }, message.topic]),
      error: errors.add,
    });
    // a cold Observable says nothing of when it is bound: try until something comes
    await until('it is bound', async () => {
      await bus.publish('orders.probe', 0, { unroutable: 'ignore', headers: { n: 1 } });
      await quiet(20);
      return seen.length > 0;
    });
    assert.deepEqual(seen.items[0], [0, 'orders.probe', { n: 1 }, 'orders.probe']);
    subscription.unsubscribe();
    if (transport.capabilities.unroutable) {
      await until('it is unbound', async () => !(await bus.publish('orders.end', 1, { unroutable: 'ignore' })).routed);
    }
    assert.deepEqual(errors.items, []);
  }),

  busCase('observe of a bad pattern is an error of the Observable', async (bench) => {
    const { bus } = await bench.start();
    const error = await new Promise((resolve, reject) => {
      bus.observe('w'.repeat(300)).subscribe({ next: reject, error: resolve });
    });
    assert.ok(error instanceof ConfigurationError);
  }),

  busCase('W30 a handler subscribes while the bus runs, and gets what comes next', async (bench) => {
    const seen = new Log<unknown>('events');
    @Injectable()
    class FirstListener {
      @OnEvent('orders.first')
      async on(_payload: unknown, context: EventContext): Promise<void> {
        await bus.subscribe('orders.second', seen.add);
        context.emit('orders.second', 'from the handler');
      }
    }
    const { bus } = await bench.start({ providers: [FirstListener] });
    await bus.publish('orders.first', 1);
    assert.deepEqual(await seen.settle(1), ['from the handler']);
  }),
];
