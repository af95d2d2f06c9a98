import { getEventListeners } from 'node:events';
import { describe, expect, it, jest } from '@jest/globals';
import type { CacheLimits, CacheWaitOptions } from '../../../lib/bus/subscription-cache.js';
import { BusClosedError, CacheOverflowError, CacheTimeoutError, ConfigurationError } from '../../../lib/core/errors.js';
import { payloadsOf, TestCache } from '../support/caches.js';
import { caught, caughtFrom } from '../support/caught.js';
import { settled } from '../support/deferred.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aMessage } from '../support/message.js';

const NOW: CacheWaitOptions = { timeoutMs: 0 };

describe('what a cache keeps', () => {
  it('is the event, and when it came', async () => {
    const cache = new TestCache<unknown>();
    const message = aMessage({ headers: { region: 'eu' }, timestamp: 7 });
    const before = Date.now();
    expect(cache.add({ payload: { n: 1 }, topic: message.topic, headers: message.headers, message })).toBe(true);
    const entry = await cache.get();
    expect(entry).toEqual({
      payload: { n: 1 },
      topic: 'orders.created',
      headers: { region: 'eu' },
      message,
      receivedAt: expect.any(Number),
    });
    expect(entry.receivedAt).toBeGreaterThanOrEqual(before);
  });

  it('does not hold the large buffer that a small body is a piece of', async () => {
    const cache = new TestCache();
    const message = aMessage({ body: new Uint8Array(new ArrayBuffer(1_000_000), 500, 3).fill(7) });
    cache.add({ payload: 1, topic: '', headers: {}, message });
    const { message: kept } = await cache.get();
    expect([kept.body, kept.body.buffer.byteLength]).toEqual([new Uint8Array([7, 7, 7]), 3]);
  });

  it.each<[string, CacheLimits, readonly number[], number]>([
    ['drop-oldest', { capacity: 2, overflow: 'drop-oldest' }, [3, 4], 2],
    ['drop-newest', { capacity: 2, overflow: 'drop-newest' }, [1, 2], 2],
    // a message of the tests has 21 bytes
    ['drop-oldest, by bytes', { capacityBytes: 50, overflow: 'drop-oldest' }, [3, 4], 2],
    ['drop-newest, by bytes', { capacityBytes: 50, overflow: 'drop-newest' }, [1, 2], 2],
    ['what is larger than all the room', { capacityBytes: 20 }, [], 4],
  ])('is bounded: %s', (_name, limits, left, dropped) => {
    const cache = new TestCache<number>(limits);
    expect(cache.put(1, 2, 3, 4)).toEqual([true, true, true, true]);
    expect([cache.size, cache.dropped]).toEqual([left.length, dropped]);
    expect(cache.rest()).toEqual(left);
    expect([cache.size, cache.dropped]).toEqual([0, dropped]);
  });

  it('with overflow error ends the intake; what is kept can be read, then everything rejects', async () => {
    const cache = new TestCache<number>({ capacity: 2, overflow: 'error' });
    const never = caughtFrom(cache.waitFor(() => false));
    expect(cache.put(1, 2, 3, 4)).toEqual([true, true, false, false]);
    const error = await never;
    expect(error).toBeInstanceOf(CacheOverflowError);
    expect(error).toMatchObject({ code: 'CACHE_OVERFLOW', retryable: false });
    expect(cache.ends).toEqual(['overflow']);
    expect([cache.size, cache.dropped]).toEqual([2, 1]);
    expect(await caughtFrom(cache.waitForOne(3))).toBe(error);
    expect(await caughtFrom(cache.waitForMany([1, 3], { mode: 'all-any-order' }))).toBe(error);
    expect((await cache.peek()).payload).toBe(1);
    const read: number[] = [];
    const reading = (async () => {
      for await (const { payload } of cache) read.push(payload);
    })();
    expect(await caughtFrom(reading)).toBe(error);
    expect(read).toEqual([1, 2]);
    for (const call of [cache.get(), cache.pop(), cache.peek(), cache.waitFor(() => true)])
      expect(await caughtFrom(call)).toBe(error);
    expect(caught(() => cache.drain())).toBe(error);
  });

  it('needs no room for what a wait takes', async () => {
    const cache = new TestCache<string>({ capacity: 1, overflow: 'error' });
    cache.put('old');
    const taken = cache.waitFor(({ payload }) => payload === 'new');
    expect(cache.put('new')).toEqual([true]);
    expect((await taken).payload).toBe('new');
    expect([cache.rest(), cache.dropped]).toEqual([['old'], 0]);
  });
});

describe('reading', () => {
  it('get and pop take out the first, peek leaves it', async () => {
    const cache = new TestCache<number>();
    cache.put(1, 2, 3);
    expect((await cache.peek()).payload).toBe(1);
    expect((await cache.get()).payload).toBe(1);
    expect((await cache.pop(NOW)).payload).toBe(2);
    expect((await cache.peek(NOW)).payload).toBe(3);
    expect(cache.size).toBe(1);
  });

  it('waits for what comes: the oldest read first, and all that only look', async () => {
    const cache = new TestCache<number>();
    const reads = [cache.peek(), cache.get(), cache.peek(), cache.get()];
    cache.put(1, 2);
    expect(payloadsOf(await Promise.all(reads))).toEqual([1, 1, 2, 2]);
    expect(cache.size).toBe(0);
  });

  it.each<[number | undefined, readonly number[]]>([
    [undefined, [1, 2, 3]],
    [2, [1, 2]],
    [0, []],
    [9, [1, 2, 3]],
  ])('drain(%s) takes the oldest', (max, taken) => {
    const cache = new TestCache<number>();
    cache.put(1, 2, 3);
    expect(payloadsOf(cache.drain(max))).toEqual(taken);
    expect(cache.rest()).toEqual([1, 2, 3].slice(taken.length));
  });

  it('waitFor takes the first that fits, there already or to come, and leaves the others in their order', async () => {
    const cache = new TestCache<number>();
    cache.put(1, 2, 3, 4);
    const isEven = ({ payload }: { readonly payload: number }) => payload % 2 === 0;
    expect((await cache.waitFor(isEven)).payload).toBe(2);
    const later = [cache.waitFor(isEven), cache.waitFor(isEven)];
    cache.put(5, 6);
    expect(payloadsOf(await Promise.all(later))).toEqual([4, 6]);
    expect(cache.rest()).toEqual([1, 3, 5]);
  });

  it('waitForOne takes what is equal or fits, and with consume all before it', async () => {
    const cache = new TestCache<unknown>();
    cache.put('x', { id: 1 }, 'y', { id: 2 }, 'z');
    expect((await cache.waitForOne({ id: 1 })).payload).toEqual({ id: 1 });
    expect((await cache.waitForOne(({ payload }) => payload === 'y', { consume: true })).payload).toBe('y');
    expect(cache.rest()).toEqual([{ id: 2 }, 'z']);
  });

  it('waitForOne with consume takes nothing when the time is over', async () => {
    const cache = new TestCache<string>();
    cache.put('x', 'y');
    expect(await caughtFrom(cache.waitForOne('a', { timeoutMs: 0, consume: true }))).toBeInstanceOf(CacheTimeoutError);
    expect(cache.rest()).toEqual(['x', 'y']);
  });

  it('gives two waits for the same one each an entry of its own, the older wait first', async () => {
    const cache = new TestCache<string>();
    const first = cache.waitForOne('a');
    const second = cache.waitFor(({ payload }) => payload === 'a', { timeoutMs: 1_000 });
    const third = cache.waitForMany(['a'], { mode: 'all-in-order' });
    const entries: unknown[] = [];
    void first.then((entry) => entries.push(entry));
    cache.put('a');
    await settled();
    expect(entries).toHaveLength(1);
    cache.put('a', 'a', 'a');
    const all = [await first, await second, ...(await third).entries];
    expect(new Set(all).size).toBe(3);
    expect(cache.size).toBe(1);
  });
});

describe('the entries in turn', () => {
  it('are taken out as they come, until the cache is closed', async () => {
    const cache = new TestCache<number>();
    cache.put(1, 2);
    const read: number[] = [];
    const reading = (async () => {
      for await (const { payload } of cache) read.push(payload);
      return 'ended';
    })();
    await settled();
    cache.put(3);
    await settled();
    expect([read, cache.size]).toEqual([[1, 2, 3], 0]);
    await cache.close();
    expect(await reading).toBe('ended');
  });

  it('are not lost when the reader leaves, even while it waits', async () => {
    const cache = new TestCache<number>();
    cache.put(1, 2, 3);
    for await (const { payload } of cache) if (payload === 2) break;
    expect(cache.size).toBe(1);
    const iterator = cache[Symbol.asyncIterator]();
    await iterator.next();
    const pending = iterator.next();
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
    expect(await pending).toEqual({ done: true, value: undefined });
    cache.put(4);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(cache.rest()).toEqual([4]);
  });
});

describe('a wait that ends otherwise', () => {
  it('rejects when a predicate throws, that wait only', async () => {
    const cache = new TestCache<string>();
    const boom = new RangeError('boom');
    const broken = caughtFrom(
      cache.waitFor(() => {
        throw boom;
      }),
    );
    const other = cache.waitFor(({ payload }) => payload === 'b');
    expect(cache.put('a', 'b')).toEqual([true, true]);
    expect(await broken).toBe(boom);
    expect((await other).payload).toBe('b');
    expect(cache.rest()).toEqual(['a']);
  });

  it('takes what is neither true nor false as an if does', async () => {
    const cache = new TestCache<string>();
    cache.put('a', 'b');
    const found = await cache.waitFor((({ payload }: { payload: string }) => /b/.exec(payload)) as never);
    expect(found.payload).toBe('b');
  });

  it('refuses a predicate that is asynchronous', async () => {
    const cache = new TestCache<string>();
    cache.put('a');
    const error = await caughtFrom(
      cache.waitFor((async () => {
        throw new Error('of nobody');
      }) as never),
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('must not be asynchronous');
    expect(cache.size).toBe(1);
  });

  it('on abort rejects with the reason, takes nothing, and lets go of the signal', async () => {
    const cache = new TestCache<string>();
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error('changed my mind');
    const many = caughtFrom(cache.waitForMany(['a', 'b'], { mode: 'all-in-order', signal, consume: true }));
    const one = caughtFrom(cache.waitFor(() => false, { signal }));
    await settled();
    cache.put('x', 'a');
    expect([getEventListeners(signal, 'abort').length, cache.size]).toEqual([2, 1]);
    controller.abort(reason);
    expect([await many, await one]).toEqual([reason, reason]);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(cache.rest()).toEqual(['x', 'a']);
  });

  it('rejects at once when the signal has aborted before', async () => {
    const cache = new TestCache<string>();
    cache.put('a');
    const reason = new Error('too late');
    const signal = AbortSignal.abort(reason);
    expect(await caughtFrom(cache.get({ signal }))).toBe(reason);
    expect(await caughtFrom(cache.waitForMany([], { mode: 'any', signal }))).toBe(reason);
    expect(cache.size).toBe(1);
  });

  it.each([
    ['get', (cache: TestCache) => cache.get({ timeoutMs: -1 }), 'get options.timeoutMs'],
    ['pop', (cache: TestCache) => cache.pop({ timeoutMs: Number.NaN }), 'pop options.timeoutMs'],
    ['peek', (cache: TestCache) => cache.peek({ signal: {} as never }), 'peek options.signal'],
    ['waitFor', (cache: TestCache) => cache.waitFor('a' as never), 'The predicate of waitFor'],
    ['waitFor', (cache: TestCache) => cache.waitFor(() => true, { consume: true } as never), 'waitFor options.consume'],
    ['waitForOne', (cache: TestCache) => cache.waitForOne('a', { consume: 1 as never }), 'waitForOne options.consume'],
    ['waitForMany', (cache: TestCache) => cache.waitForMany(['a'], {} as never), 'needs a mode'],
    ['waitForMany', (cache: TestCache) => cache.waitForMany(['a'], undefined as never), 'waitForMany options'],
    ['waitForMany', (cache: TestCache) => cache.waitForMany('a' as never, { mode: 'any' }), 'must be an array'],
    ['waitForMany', (cache: TestCache) => cache.waitForMany(['a'], { mode: 'some' as never }), 'options.mode'],
  ])('rejects for a bad argument: %s', async (_name, call, text) => {
    const cache = new TestCache();
    cache.put('a');
    const error = await caughtFrom(call(cache));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(text);
    expect(cache.size).toBe(1);
  });

  it('throws for a bad max of drain', () => {
    expect(caught(() => new TestCache().drain(-1))).toBeInstanceOf(ConfigurationError);
  });
});

describe('the time of a wait', () => {
  withFakeTimers();

  it('is 30 s when nothing is said, and the error says what was awaited', async () => {
    const cache = new TestCache<string>();
    const outcomes = Promise.all([
      caughtFrom(cache.get()),
      caughtFrom(cache.waitFor(() => false)),
      caughtFrom(cache.waitForOne('secret')),
      caughtFrom(cache.peek()),
    ]);
    await jest.advanceTimersByTimeAsync(29_999);
    cache.put();
    expect(jest.getTimerCount()).toBe(4);
    await jest.advanceTimersByTimeAsync(1);
    expect(jest.getTimerCount()).toBe(0);
    const errors = await outcomes;
    expect(errors.map(({ message }) => message)).toEqual(
      ['get', 'waitFor', 'waitForOne', 'peek'].map(
        (call) => `${call}: no such event of "test.*" came within 30000 ms.`,
      ),
    );
    for (const error of errors) {
      expect(error).toBeInstanceOf(CacheTimeoutError);
      expect(error).toMatchObject({ code: 'CACHE_TIMEOUT', retryable: true });
    }
  });

  it('leaves no timer behind, however the wait ends', async () => {
    const cache = new TestCache<string>();
    const controller = new AbortController();
    const outcomes = Promise.allSettled([
      cache.get(),
      cache.waitFor(() => false, { signal: controller.signal }),
      cache.waitForMany(['a'], { mode: 'any' }),
      cache.waitFor(() => {
        throw new Error('boom');
      }),
    ]);
    await jest.advanceTimersByTimeAsync(0);
    cache.put('x');
    controller.abort();
    cache.put('a', 'b');
    await cache.close();
    await outcomes;
    expect([jest.getTimerCount(), getEventListeners(controller.signal, 'abort')]).toEqual([0, []]);
  });
});

describe('close', () => {
  it('ends the intake and all waits, cancels once, and leaves what is kept to be read', async () => {
    const cache = new TestCache<string>();
    const waits = [
      caughtFrom(cache.waitFor(() => false)),
      caughtFrom(cache.waitForMany(['a', 'z'], { mode: 'all-any-order' })),
    ];
    cache.put('a', 'b');
    expect(cache.size).toBe(1);
    await Promise.all([cache.close(), cache.close()]);
    expect(cache.ends).toEqual(['cancelled']);
    for (const error of await Promise.all(waits)) {
      expect(error).toBeInstanceOf(BusClosedError);
      expect(error.message).toBe('Cannot wait for events: the cache of "test.*" is closed.');
    }
    expect(cache.put('c')).toEqual([false]);
    expect((await cache.get()).payload).toBe('a');
    expect((await cache.waitForOne('b')).payload).toBe('b');
    expect(await caughtFrom(cache.get())).toBeInstanceOf(BusClosedError);
    expect(cache.drain()).toEqual([]);
  });

  it('gives the reason of the bus when that has ended before', async () => {
    const cache = new TestCache<string>();
    const reason = new BusClosedError('wait for events');
    const waiting = caughtFrom(cache.get());
    cache.end(reason);
    expect(await waiting).toBe(reason);
    await cache.close();
    expect(await caughtFrom(cache.get())).toBe(reason);
    const read: unknown[] = [];
    for await (const entry of cache) read.push(entry);
    expect(read).toEqual([]);
  });
});
