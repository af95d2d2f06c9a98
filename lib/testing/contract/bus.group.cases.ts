import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { ACK } from '../../core/delivery.js';
import { ConfigurationError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { listen } from './listener.js';
import { Log } from './log.js';
import { quiet } from './until.js';

/** Which handlers share what, and how many run. */
export const GROUP_CASES: readonly ContractCase[] = [
  busCase('each decorated method is a group of its own, named after service, class and method', async (bench) => {
    const seen = new Log<string>('events');
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*')
      one(_payload: unknown, { group }: EventContext): void {
        seen.add(group);
      }
      @OnEvent('orders.created')
      @OnEvent('orders.paid')
      two(_payload: unknown, { group, topic }: EventContext): void {
        seen.add(`${group} ${topic}`);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    const prefix = `${bench.name}.OrderListener`;
    await bus.publish('orders.created', 1);
    await seen.reach(2);
    await bus.publish('orders.paid', 1);
    const expected = [`${prefix}.one`, `${prefix}.one`, `${prefix}.two orders.created`, `${prefix}.two.2 orders.paid`];
    assert.deepEqual((await seen.settle(4)).toSorted(), expected);
  }),

  busCase('in an explicit group the most specific pattern gets the event, and only that one', async (bench) => {
    const seen = new Log<string>('events');
    const group = bench.group('mail');
    @Injectable()
    class MailListener {
      @OnEvent('orders.#', { group })
      all(_payload: unknown, { topic }: EventContext): void {
        seen.add(`all ${topic}`);
      }
      @OnEvent('orders.*', { group })
      word(_payload: unknown, { topic }: EventContext): void {
        seen.add(`word ${topic}`);
      }
      @OnEvent('orders.created', { group })
      created(_payload: unknown, { topic }: EventContext): void {
        seen.add(`created ${topic}`);
      }
    }
    const { bus } = await bench.start({ providers: [MailListener] });
    const topics = ['orders.created', 'orders.paid', 'orders.paid.twice', 'orders'];
    for (const topic of topics) await bus.publish(topic, 1);
    const expected = ['all orders', 'all orders.paid.twice', 'created orders.created', 'word orders.paid'];
    assert.deepEqual((await seen.settle(4)).toSorted(), expected);
  }),

  busCase(
    'equal right to an event, or two policies in one group, fail the boot and name both places',
    async (bench) => {
      const group = bench.group('mail');
      @Injectable()
      class EqualListener {
        @OnEvent('orders.*', { group })
        left(): void {}
        @OnEvent('*.created', { group })
        right(): void {}
      }
      @Injectable()
      class PolicyListener {
        @OnEvent('orders.created', { group, retry: false })
        left(): void {}
        @OnEvent('orders.paid', { group })
        right(): void {}
      }
      for (const type of [EqualListener, PolicyListener]) {
        const error = await bench.startFails({ providers: [type] });
        assert.ok(error instanceof ConfigurationError);
        assert.match(error.message, new RegExp(`${type.name}\\.left.*${type.name}\\.right`));
      }
    },
  ),

  busCase('C10 never more handlers run than the concurrency of their group, nor of the process', async (bench) => {
    const running = { one: 0, two: 0 };
    const most = { one: 0, two: 0, all: 0 };
    const ended = new Log<string>('events');
    const work = async (name: 'one' | 'two'): Promise<void> => {
      most[name] = Math.max(most[name], ++running[name]);
      most.all = Math.max(most.all, running.one + running.two);
      await quiet(5);
      running[name]--;
      ended.add(name);
    };
    @Injectable()
    class WorkListener {
      @OnEvent('work', { concurrency: 3 })
      one(): Promise<void> {
        return work('one');
      }
      @OnEvent('work', { concurrency: 2 })
      two(): Promise<void> {
        return work('two');
      }
    }
    const { bus } = await bench.start({ providers: [WorkListener], options: { consume: { maxConcurrency: 4 } } });
    await bus.publishAll(Array.from({ length: 40 }, (_, i) => ({ topic: 'work', payload: i })));
    await ended.settle(80);
    assert.deepEqual(most, { one: 3, two: 2, all: 4 });
  }),

  busCase("ordered: 'key': events of one key run one at a time, in order, retries included", async (bench) => {
    const seen = new Log<readonly [key: string, n: number]>('events');
    const running = new Set<string>();
    let overlaps = 0;
    @Injectable()
    class LedgerListener {
      @OnEvent('ledger', { ordered: 'key', concurrency: 8 })
      async on(n: number, { message: { key = '' }, attempt }: EventContext): Promise<void> {
        if (running.has(key)) overlaps++;
        running.add(key);
        await quiet(1);
        running.delete(key);
        if (attempt === 1 && n % 7 === 3) throw new Error('again');
        seen.add([key, n]);
      }
    }
    const probe = await bench.create();
    if (probe.capabilities.ordered !== 'per-key') {
      const error = await bench.startFails({ providers: [LedgerListener] });
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /LedgerListener\.on.*ordered: 'key'/);
      return;
    }
    const { bus } = await bench.start({ providers: [LedgerListener] });
    const events = Array.from({ length: 96 }, (_, i) => ({
      topic: 'ledger',
      payload: i,
      options: { key: `k${i % 16}` },
    }));
    await bus.publishAll(events);
    const handled = await seen.settle(96);
    assert.equal(overlaps, 0);
    for (let k = 0; k < 16; k++) {
      const numbers = handled.filter(([key]) => key === `k${k}`).map(([, n]) => n);
      assert.deepEqual(
        numbers,
        Array.from({ length: 6 }, (_, i) => i * 16 + k),
        `key ${k}`,
      );
    }
  }),

  busCase("W16 startFrom: 'earliest': a new group gets what was published before, unchanged", async (bench) => {
    @Injectable()
    class HistoryListener {
      @OnEvent('history.*', { startFrom: 'earliest' })
      on(_payload: unknown, { message }: EventContext): void {
        message.body.fill(0);
      }
    }
    const probe = await bench.create();
    if (!probe.capabilities.replay) {
      const error = await bench.startFails({ providers: [HistoryListener] });
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /HistoryListener\.on.*startFrom: 'earliest'/);
      return;
    }
    const { bus, transport } = await bench.start({ providers: [HistoryListener] });
    const spoiled = await listen(transport, bench.own(), ({ message }) => {
      message.body.fill(0);
      return ACK;
    });
    for (const n of [1, 2, 3]) await bus.publish('history.made', n);
    await spoiled.deliveries.reach(3);
    const earliest = await listen(transport, bench.shared('late', { startFrom: 'earliest' }));
    const fresh = await listen(transport, bench.shared('fresh', { startFrom: 'new' }));
    await earliest.deliveries.settle(3);
    assert.deepEqual(
      earliest.messages.map(({ body }) => Buffer.from(body).toString()),
      ['1', '2', '3'],
    );
    assert.equal(fresh.deliveries.length, 0);
  }),

  busCase('handlers of a headers exchange choose by headers', async (bench) => {
    const seen = new Log<string>('events');
    @Injectable()
    class TierListener {
      @OnEvent('order', { headers: { tier: 'gold', eu: true } })
      gold(payload: unknown): void {
        seen.add(`gold ${String(payload)}`);
      }
      @OnEvent('order', { headers: { tier: 'silver', eu: true }, match: 'any' })
      any(payload: unknown): void {
        seen.add(`any ${String(payload)}`);
      }
    }
    const exchange = { name: `${bench.exchange.name}.headers`, type: 'headers' } as const;
    bench.willRemove(exchange.name, `${exchange.name}.broadcast`);
    const { bus } = await bench.start({ providers: [TierListener], options: { exchange } });
    await bus.publish('order', 'both', { headers: { tier: 'gold', eu: true } });
    await bus.publish('order', 'one', { headers: { tier: 'gold', eu: false }, unroutable: 'ignore' });
    await bus.publish('order', 'other', { headers: { tier: 'silver' } });
    assert.deepEqual((await seen.settle(3)).toSorted(), ['any both', 'any other', 'gold both']);
  }),

  busCase('a group that this process does not consume is declared all the same', async (bench) => {
    const seen = new Log<unknown>('events');
    @Injectable()
    class JobListener {
      @OnEvent('jobs.*')
      on(payload: unknown): void {
        seen.add(payload);
      }
    }
    const { bus } = await bench.start({ providers: [JobListener], options: { consume: { enabled: false } } });
    const { routed = true } = await bus.publish('jobs.created', 1);
    assert.equal(routed, true);
    await quiet();
    assert.equal(seen.length, 0);
  }),
];
