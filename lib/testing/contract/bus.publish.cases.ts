import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { EventContext } from '../../bus/event-context.js';
import { defineEvent } from '../../bus/event-definition.js';
import { ConfigurationError, MessageTooLargeError, UnroutableError, ValidationError } from '../../core/errors.js';
import { Event } from '../../decorators/event.decorator.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { quiet } from './until.js';

/** The dispatcher counts as due what is due so soon; timers and clocks of two machines may differ a little more. */
const DUE_TOLERANCE_MS = 25;

/** A provider that writes down the payloads of all events under `orders`. */
function orderListener(seen: Log<unknown>): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.#')
    on(payload: unknown): void {
      seen.add(payload);
    }
  }
  return OrderListener;
}

/** What a publish does and says. */
export const BUS_PUBLISH_CASES: readonly ContractCase[] = [
  busCase('a decorated handler gets payload and context; the publisher a receipt', async (bench) => {
    const seen = new Log<Readonly<Record<string, unknown>>>('events');
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*')
      on(payload: unknown, { message, topic, headers, group, attempt, redelivered, signal }: EventContext): void {
        const { id, source, type, contentType, key, correlationId, causationId } = message;
        seen.add({ payload, topic, headers: { ...headers }, group, attempt, redelivered, aborted: signal.aborted });
        seen.add({ id, source, type, contentType, key, correlationId, causationId });
      }
    }
    const { bus, service } = await bench.start({ providers: [OrderListener] });
    const receipt = await bus.publish(
      'orders.created',
      { id: '42', lines: [1, 2.5, null, 'ü'] },
      { id: 'my-id', key: 'k', headers: { tenant: 'acme', n: 1 }, correlationId: 'corr', causationId: 'cause' },
    );
    assert.deepEqual(receipt, { id: 'my-id', topic: 'orders.created', state: 'confirmed', routed: true });
    const [first, second] = await seen.settle(2);
    assert.deepEqual(first, {
      payload: { id: '42', lines: [1, 2.5, null, 'ü'] },
      topic: 'orders.created',
      headers: { tenant: 'acme', n: 1 },
      group: `${service}.OrderListener.on`,
      attempt: 1,
      redelivered: false,
      aborted: false,
    });
    assert.deepEqual(second, {
      id: 'my-id',
      source: service,
      type: '',
      contentType: 'application/json',
      key: 'k',
      correlationId: 'corr',
      causationId: 'cause',
    });
  }),

  busCase('events of a class or a definition reach their handlers by topic and version', async (bench) => {
    @Event('orders.created')
    class OrderCreated {
      constructor(readonly id: string) {}
    }
    @Event('orders.created', { version: 2 })
    class OrderCreatedV2 {
      constructor(readonly orderId: string) {}
    }
    const OrderPaid = defineEvent<{ id: string }>('orders.paid');
    const seen = new Log<readonly unknown[]>('events');
    @Injectable()
    class OrderListener {
      @OnEvent(OrderCreated, { group: `${bench.name}.created` })
      first(payload: unknown, { message: { type, version } }: EventContext): void {
        seen.add(['first', payload, type, version ?? 1]);
      }
      @OnEvent(OrderCreatedV2, { group: `${bench.name}.created` })
      second(payload: unknown, { message: { type, version } }: EventContext): void {
        seen.add(['second', payload, type, version]);
      }
      @OnEvent(OrderPaid)
      paid(payload: unknown, { message: { type } }: EventContext): void {
        seen.add(['paid', payload, type]);
      }
    }
    const { bus } = await bench.start({ providers: [OrderListener] });
    await bus.publish(new OrderCreated('1'));
    await seen.reach(1);
    await bus.publish(new OrderCreatedV2('2'));
    await seen.reach(2);
    await bus.publish(OrderPaid, { id: '3' });
    await seen.reach(3);
    await bus.publish('orders.created', { id: 'untyped' });
    assert.deepEqual(await seen.settle(4), [
      ['first', { id: '1' }, 'orders.created', 1],
      ['second', { orderId: '2' }, 'orders.created', 2],
      ['paid', { id: '3' }, 'orders.paid'],
      ['first', { id: 'untyped' }, '', 1],
    ]);
  }),

  busCase(
    "unroutable: 'warn' says it once per topic and counts, 'ignore' is silent, 'reject' rejects",
    async (bench) => {
      const { bus, transport, lines } = await bench.start();
      if (!transport.capabilities.unroutable) {
        assert.equal((await bus.publish('nobody.cares', 1)).state, 'confirmed');
        return;
      }
      const warnings = (): number => lines.filter((line) => line.startsWith('warn') && line.includes('nobody.')).length;
      for (let i = 0; i < 3; i++) assert.equal((await bus.publish('nobody.cares', i)).routed, false);
      assert.equal(warnings(), 1);
      assert.equal((await bus.publish('nobody.asks', 1)).routed, false);
      assert.equal(warnings(), 2);
      assert.equal((await bus.publish('nobody.knows', 1, { unroutable: 'ignore' })).routed, false);
      await assert.rejects(bus.publish('nobody.wants', 1, { unroutable: 'reject' }), UnroutableError);
      assert.equal(warnings(), 2);
      const { published, confirmed, failed, unroutable } = bus.stats();
      assert.deepEqual(
        { published, confirmed, failed, unroutable },
        { published: 6, confirmed: 5, failed: 1, unroutable: 6 },
      );
    },
  ),

  busCase('publishAll keeps the order, tells which ones failed, and takes a sequence of any length', async (bench) => {
    const seen = new Log<unknown>('events');
    const OrderListener = orderListener(seen);
    const { bus, transport } = await bench.start({
      providers: [OrderListener],
      options: { consume: { concurrency: 1 }, publish: { window: 8 } },
    });
    async function* rows(): AsyncGenerator<{ topic: string; payload: unknown }> {
      for (let i = 0; i < 100; i++) yield { topic: 'orders.imported', payload: i === 40 ? 1n : i };
    }
    const { confirmed, failed } = await bus.publishAll(rows());
    assert.equal(confirmed, 99);
    assert.deepEqual(
      failed.map(({ index }) => index),
      [40],
    );
    assert.ok(failed[0]?.error instanceof ValidationError);
    const payloads = await seen.settle(99);
    const expected = Array.from({ length: 100 }, (_, i) => i).filter((i) => i !== 40);
    const isOrdered = transport.capabilities.ordered !== 'never';
    assert.deepEqual(isOrdered ? payloads : payloads.toSorted((a, b) => Number(a) - Number(b)), expected);
  }),

  busCase('C7 a body of the largest size is handled, one byte more is refused before it is sent', async (bench) => {
    const seen = new Log<unknown>('events');
    const { bus } = await bench.start({ providers: [orderListener(seen)] });
    const largest = 'x'.repeat(1_048_576 - 2); // and two quotes
    await bus.publish('orders.large', largest);
    await assert.rejects(bus.publish('orders.large', `${largest}x`), MessageTooLargeError);
    assert.deepEqual(await seen.settle(1), [largest]);
  }),

  busCase('C8 what cannot be sent rejects with the name of what is wrong', async (bench) => {
    const { bus } = await bench.start();
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    await assert.rejects(bus.publish('a', cycle), { code: 'UNSERIALIZABLE' });
    await assert.rejects(bus.publish('a', 1n), { code: 'UNSERIALIZABLE' });
    for (const [name, value] of Object.entries({ 'x-death': 1, 'eb-attempt': 1, CC: 'other', bad: Number.NaN })) {
      const said = (error: unknown): boolean =>
        error instanceof ConfigurationError && error.message.includes(`"${name}"`);
      await assert.rejects(bus.publish('a', 1, { headers: { [name]: value } }), said, name);
    }
    await assert.rejects(bus.publish('t'.repeat(256), 1), ConfigurationError);
    await assert.rejects(bus.publish('a', 1, { delay: 5 } as never), /Did you mean "delayMs"/);
    assert.equal(bus.stats().failed, 8);
  }),

  busCase('delayMs: handled not sooner, as attempt 1', async (bench) => {
    const seen = new Log<{ readonly at: number; readonly attempt: number }>('events');
    @Injectable()
    class ReminderListener {
      @OnEvent('reminder')
      on(_payload: unknown, { attempt }: EventContext): void {
        seen.add({ at: Date.now(), attempt });
      }
    }
    const { bus, statsOf, groupOf } = await bench.start({ providers: [ReminderListener] });
    const start = Date.now();
    await bus.publish('reminder', 1, { delayMs: 300 });
    const [handled] = await seen.settle(1);
    assert.ok(handled);
    assert.ok(handled.at - start >= 300 - DUE_TOLERANCE_MS, `handled after ${handled.at - start} ms`);
    assert.equal(handled.attempt, 1);
    const { handled: count, retried, deadLettered } = statsOf(groupOf(ReminderListener, 'on'));
    assert.deepEqual({ count, retried, deadLettered }, { count: 1, retried: 0, deadLettered: 0 });
  }),

  busCase('C12 an expired event is not handled; it is counted and leaves no dead letter', async (bench) => {
    const seen = new Log<unknown>('events');
    const OrderListener = orderListener(seen);
    const { bus, deadLetters, statsOf, groupOf } = await bench.start({
      providers: [OrderListener],
      options: { autoStart: false },
    });
    const group = groupOf(OrderListener, 'on');
    await bus.publish('orders.old', 'expired', { expiresInMs: 30 });
    await bus.publish('orders.new', 'fresh', { expiresInMs: 60_000 });
    await quiet(60);
    await bus.start();
    assert.deepEqual(await seen.settle(1), ['fresh']);
    assert.equal(statsOf(group).expired, 1);
    assert.equal(await deadLetters.count(group), 0);
  }),

  busCase('background: resolves as queued at once; the event arrives, a failure is written down', async (bench) => {
    const seen = new Log<unknown>('events');
    const { bus } = await bench.start({ providers: [orderListener(seen)] });
    const { state } = await bus.publish('orders.created', 'soon', { background: true });
    assert.equal(state, 'queued');
    assert.deepEqual(await seen.settle(1), ['soon']);
  }),

  busCase('the counters of publishing and handling add up', async (bench) => {
    const seen = new Log<unknown>('events');
    const OrderListener = orderListener(seen);
    const { bus, statsOf, groupOf } = await bench.start({ providers: [OrderListener] });
    for (let i = 0; i < 5; i++) await bus.publish('orders.created', i);
    await assert.rejects(bus.publish('orders.created', 1n));
    await seen.settle(5);
    const { published, confirmed, failed, unroutable } = bus.stats();
    assert.deepEqual(
      { published, confirmed, failed, unroutable },
      { published: 6, confirmed: 5, failed: 1, unroutable: 0 },
    );
    const { handled, running, waiting, stale } = statsOf(groupOf(OrderListener, 'on'));
    assert.deepEqual({ handled, running, waiting, stale }, { handled: 5, running: 0, waiting: 0, stale: 0 });
  }),
];
