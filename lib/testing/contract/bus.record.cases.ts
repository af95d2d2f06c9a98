import assert from 'node:assert/strict';
import { Injectable } from '@nestjs/common';
import { defineEvent } from '../../bus/event-definition.js';
import type { CacheEntry } from '../../bus/subscription-cache.js';
import { BusClosedError, CacheTimeoutError } from '../../core/errors.js';
import { OnEvent } from '../../decorators/on-event.decorator.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { until } from './until.js';

/** Recording from code, and waiting for what comes. */
export const RECORD_CASES: readonly ContractCase[] = [
  busCase('a record has all that is published after it was there, in order, and nothing from before', async (bench) => {
    const { bus, transport } = await bench.start();
    await bus.publish('orders.created', 'too early');
    const cache = await bus.record<number>('orders.*');
    const before = Date.now();
    const published = await bus.publishAll(
      Array.from({ length: 150 }, (_, n) => ({ topic: 'orders.created', payload: n, options: { headers: { n } } })),
    );
    assert.equal(published.confirmed, 150);
    const entries: CacheEntry<number>[] = [];
    while (entries.length < 150) entries.push(await cache.get({ timeoutMs: 5_000 }));
    assert.deepEqual(
      entries.map(({ payload, headers }) => [payload, headers.n]),
      Array.from({ length: 150 }, (_, n) => [n, n]),
    );
    const [first] = entries;
    assert.ok(first);
    assert.equal(first.topic, 'orders.created');
    assert.equal(first.message.topic, 'orders.created');
    assert.ok(first.receivedAt >= before && first.receivedAt <= Date.now());
    assert.deepEqual([cache.size, cache.dropped], [0, 0]);
    await cache.close();
    if (transport.capabilities.unroutable) assert.equal((await bus.publish('orders.created', 'nobody')).routed, false);
  }),

  busCase('waits find what was there and what comes, and leave the rest in its order', async (bench) => {
    const { bus } = await bench.start();
    const Paid = defineEvent<{ id: string }>('orders.paid');
    const cache = await bus.record('orders.*');
    const paid = await bus.record(Paid);
    const one = cache.waitForOne({ id: '2' });
    const many = cache.waitForMany([{ id: '4' }, ({ topic }) => topic === 'orders.paid'], { mode: 'all-any-order' });
    for (const id of ['1', '2', '3']) await bus.publish('orders.created', { id });
    await bus.publish(Paid, { id: '3' });
    for (const id of ['4', '5']) await bus.publish('orders.created', { id });
    assert.deepEqual((await one).payload, { id: '2' });
    const { complete, indices, entries } = await many;
    assert.deepEqual(
      [complete, indices, entries.map(({ topic }) => topic)],
      [true, [1, 0], ['orders.paid', 'orders.created']],
    );
    await until('the last is there', () => cache.size === 3);
    assert.deepEqual(
      cache.drain().map(({ payload }) => payload),
      ['1', '3', '5'].map((id) => ({ id })),
    );
    const payload: { id: string } = (await paid.pop()).payload;
    assert.deepEqual(payload, { id: '3' });
    await assert.rejects(paid.get({ timeoutMs: 20 }), CacheTimeoutError);
  }),

  busCase('two records each have every event; a record with a group shares a queue that stays', async (bench) => {
    const { bus } = await bench.start();
    const group = bench.group('recorders');
    const [first, second] = [await bus.record<number>('orders.*'), await bus.record<number>('orders.*')];
    const shared = await bus.record<number>('orders.*', { group });
    await bus.publish('orders.created', 1);
    for (const cache of [first, second, shared]) assert.equal((await cache.get()).payload, 1);
    await Promise.all([first.close(), second.close(), shared.close()]);
    assert.equal((await bus.publish('orders.created', 2)).routed, true);
    const later = await bus.record<number>('orders.*', { group });
    assert.equal((await later.get()).payload, 2);
  }),

  busCase('a record that overflows ends; its group has what did not fit', async (bench) => {
    const { bus } = await bench.start();
    const group = bench.group('recorders');
    const small = await bus.record<number>('orders.*', { group, capacity: 2, overflow: 'error' });
    for (const n of [1, 2, 3]) await bus.publish('orders.created', n);
    await assert.rejects(
      small.waitFor(() => false),
      { code: 'CACHE_OVERFLOW' },
    );
    assert.deepEqual(
      small.drain().map(({ payload }) => payload),
      [1, 2],
    );
    await small.close();
    const next = await bus.record<number>('orders.*', { group });
    assert.equal((await next.get({ timeoutMs: 10_000 })).payload, 3);
  }),

  busCase('the end of the bus ends its records, and handlers that wait for them, at once', async (bench) => {
    const outcomes: unknown[] = [];
    @Injectable()
    class Waiter {
      @OnEvent('orders.created')
      async on(): Promise<void> {
        await cache.waitForOne('never').catch((error: unknown) => outcomes.push(error));
      }
    }
    const { app, bus, statsOf, groupOf } = await bench.start({ providers: [Waiter] });
    const cache = await bus.record('orders.paid');
    const reading = (async () => {
      for await (const entry of cache) outcomes.push(entry.payload);
      return 'ended';
    })();
    await bus.publish('orders.created', 1);
    await until('the handler waits', () => statsOf(groupOf(Waiter, 'on')).running === 1);
    await app.close();
    assert.equal(await reading, 'ended');
    assert.equal(outcomes.length, 1);
    assert.ok(outcomes[0] instanceof BusClosedError);
    await assert.rejects(bus.record('orders.*'), BusClosedError);
  }),

  busCase('the general cache of on-connect has what is published once the application is up', async (bench) => {
    const { bus } = await bench.start({ options: { cache: { patterns: 'orders.#', policy: 'on-connect' } } });
    await bus.publish('orders.created', 1);
    const cache = await bus.cache<number>();
    assert.equal(await bus.cache(), cache);
    assert.equal((await cache.get()).payload, 1);
  }),

  busCase('the general cache of on-demand begins with the first call', async (bench) => {
    const { bus } = await bench.start({ options: { cache: { patterns: ['orders.*', 'payments.*'], capacity: 2 } } });
    await bus.publish('orders.created', 'too early');
    const [cache, same] = await Promise.all([bus.cache<number>(), bus.cache<number>()]);
    assert.equal(cache, same);
    for (const n of [1, 2, 3]) await bus.publish(n === 2 ? 'payments.made' : 'orders.created', n);
    await until('the oldest has made room', () => cache.dropped === 1);
    assert.deepEqual(
      cache.drain().map(({ payload }) => payload),
      [2, 3],
    );
  }),
];
