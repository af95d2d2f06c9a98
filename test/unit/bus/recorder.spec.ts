import { describe, expect, it, jest } from '@jest/globals';
import { defineEvent } from '../../../lib/bus/event-definition.js';
import { BusClosedError, ConfigurationError } from '../../../lib/core/errors.js';
import { aBus } from '../support/buses.js';
import { payloadsOf } from '../support/caches.js';
import { caughtFrom } from '../support/caught.js';
import { deferred, settled } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import type { FakeTransport } from '../support/fake.transport.js';

/** Brings events with these payloads to the only consumer. @returns what became of them, when the rest has been done */
async function deliver(transport: FakeTransport, ...payloads: readonly unknown[]): Promise<readonly string[]> {
  const deliveries = payloads.map(
    (payload) => new FakeDelivery({ message: { body: Buffer.from(JSON.stringify(payload)) } }),
  );
  for (const delivery of deliveries) transport.consumers[0]?.events.deliver(delivery);
  await settled();
  return deliveries.map(({ outcomes }) => outcomes.map(({ kind }) => kind).join());
}

describe('record', () => {
  it('keeps what a private queue brings, in order, and acknowledges it', async () => {
    const { bus, transport } = aBus();
    const cache = await bus.record<number>('orders.*');
    expect(transport.consumers.map(({ source }) => [source.group, source.prefetch])).toEqual([[undefined, 100]]);
    expect(await deliver(transport, 1, 2, 3)).toEqual(['ack', 'ack', 'ack']);
    expect([cache.size, payloadsOf(cache.drain())]).toEqual([3, [1, 2, 3]]);
  });

  it('takes the options of subscribe, and checks its own', async () => {
    const { bus, transport } = aBus();
    const onGap = jest.fn();
    await bus.record(['a', 'b'], { group: 'mail', prefetch: 7, onGap });
    expect(transport.consumers[0]?.source).toMatchObject({ group: 'mail', prefetch: 7 });
    for (const [options, text] of [
      [{ capacity: 0 }, 'record options.capacity must be a whole number from 1 to 1000000; got 0.'],
      [{ capacity: 1_000_001 }, 'record options.capacity'],
      [{ capacityBytes: 1.5 }, 'record options.capacityBytes'],
      [{ overflow: 'drop' }, 'record options.overflow must be one of'],
      [{ capcity: 5 }, 'capcity is not an option'],
      [5, 'record options must be an object'],
      [null, 'record options must be an object'],
    ] as const) {
      const error = await caughtFrom(bus.record('a', options as never));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toContain(text);
    }
    expect(transport.consumers).toHaveLength(2);
  });

  it.each([
    [{}, { concurrency: 1, prefetch: 100, timeoutMs: 10_000 }],
    [{ timeoutMs: 60_000 }, { concurrency: 1, prefetch: 25, timeoutMs: 60_000 }],
    [{ timeoutMs: 1_500_000 }, { concurrency: 1, prefetch: 1, timeoutMs: 1_500_000 }],
    [
      { concurrency: 4, prefetch: 8 },
      { concurrency: 4, prefetch: 8, timeoutMs: 10_000 },
    ],
  ])('takes in one after the other, and holds no delivery for too long: %j', async (options, policy) => {
    const { bus } = aBus();
    await bus.record('a', options);
    expect(bus.describe().groups).toEqual([expect.objectContaining(policy)]);
  });

  it('drops by its overflow rule, and cancels with error', async () => {
    const { bus, transport } = aBus();
    const cache = await bus.record<number>('orders.*', { capacity: 1, overflow: 'error' });
    expect(await deliver(transport, 1, 2, 3)).toEqual(['ack', 'ack', 'release']);
    expect([cache.size, cache.dropped, transport.consumers[0]?.state]).toEqual([1, 1, 'closed']);
    expect(bus.stats().groups).toEqual({});
  });

  it('gives back to its group what it does not take', async () => {
    const { bus, transport } = aBus();
    await bus.record<number>('orders.*', { group: 'mail', capacity: 1, overflow: 'error' });
    expect(await deliver(transport, 1, 2)).toEqual(['ack', 'retry']);
  });

  it('close cancels the subscription', async () => {
    const { bus, transport } = aBus();
    const cache = await bus.record('a');
    await cache.close();
    expect([transport.consumers[0]?.state, bus.stats().groups]).toEqual(['closed', {}]);
    await bus.close();
  });

  it.each(['drain', 'close'] as const)('ends when the bus begins to %s, and no other begins', async (end) => {
    const { bus } = aBus();
    const cache = await bus.record('a');
    const waiting = caughtFrom(cache.waitFor(() => true));
    void bus[end]();
    const error = await waiting;
    expect(error).toBeInstanceOf(BusClosedError);
    expect(error.message).toBe('Cannot wait for events: the event bus is closed.');
    expect(await caughtFrom(bus.record('a'))).toBeInstanceOf(BusClosedError);
    await bus.close();
  });

  it('rejects when the bus ends while it subscribes', async () => {
    const { bus, transport } = aBus();
    const consuming = deferred();
    transport.consuming = consuming.promise;
    const recording = caughtFrom(bus.record('a'));
    const closed = bus.close();
    consuming.resolve();
    expect(await recording).toBeInstanceOf(BusClosedError);
    await closed;
  });

  it('names in its errors what it is a cache of', async () => {
    const { bus } = aBus();
    const Paid = defineEvent<number>('orders.paid');
    for (const [pattern, name] of [
      ['a', '"a"'],
      [['a', 'b'], '"a", "b"'],
      [Paid, '"orders.paid"'],
    ] as const) {
      const cache = await bus.record(pattern as string);
      expect((await caughtFrom(cache.get({ timeoutMs: 0 }))).message).toBe(
        `get: no such event of ${name} came within 0 ms.`,
      );
    }
  });
});
