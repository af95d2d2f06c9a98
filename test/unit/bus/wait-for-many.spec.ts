import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { WaitForManyMode, WaitForManyOptions } from '../../../lib/bus/subscription-cache.js';
import { payloadsOf, TestCache } from '../support/caches.js';
import { caughtFrom } from '../support/caught.js';
import { withFakeTimers } from '../support/fake-timers.js';

const MODES: readonly WaitForManyMode[] = ['all-in-order', 'all-any-order', 'any'];

interface Case {
  readonly mode: WaitForManyMode;
  readonly arrivals: string;
  readonly targets: string;
  readonly indices: readonly number[];
  readonly complete?: boolean;
  /** What stays in the cache. */
  readonly left: string;
  /** The same with `consume`. */
  readonly leftConsumed: string;
}

const CASES: readonly Case[] = [
  { mode: 'all-in-order', arrivals: 'abc', targets: 'abc', indices: [0, 1, 2], left: '', leftConsumed: '' },
  { mode: 'all-in-order', arrivals: 'xaybzc', targets: 'abc', indices: [0, 1, 2], left: 'xyz', leftConsumed: '' },
  { mode: 'all-in-order', arrivals: 'xaybzcd', targets: 'abc', indices: [0, 1, 2], left: 'xyzd', leftConsumed: 'd' },
  {
    mode: 'all-in-order',
    arrivals: 'bac',
    targets: 'abc',
    indices: [0],
    complete: false,
    left: 'bac',
    leftConsumed: 'c',
  },
  { mode: 'all-in-order', arrivals: 'bacbc', targets: 'abc', indices: [0, 1, 2], left: 'bc', leftConsumed: '' },
  { mode: 'all-in-order', arrivals: 'aab', targets: 'aab', indices: [0, 1, 2], left: '', leftConsumed: '' },
  { mode: 'all-any-order', arrivals: 'xcab', targets: 'abc', indices: [2, 0, 1], left: 'x', leftConsumed: '' },
  { mode: 'all-any-order', arrivals: 'bab', targets: 'abb', indices: [1, 0, 2], left: '', leftConsumed: '' },
  { mode: 'all-any-order', arrivals: 'xcabde', targets: 'abc', indices: [2, 0, 1], left: 'xde', leftConsumed: 'de' },
  {
    mode: 'all-any-order',
    arrivals: 'xca',
    targets: 'abc',
    indices: [2, 0],
    complete: false,
    left: 'xca',
    leftConsumed: '',
  },
  {
    mode: 'all-any-order',
    arrivals: 'xcay',
    targets: 'abc',
    indices: [2, 0],
    complete: false,
    left: 'xcay',
    leftConsumed: 'y',
  },
  { mode: 'any', arrivals: 'xyb', targets: 'abc', indices: [1], left: 'xy', leftConsumed: '' },
  { mode: 'any', arrivals: 'ba', targets: 'abb', indices: [1], left: 'a', leftConsumed: 'a' },
  { mode: 'any', arrivals: 'xyz', targets: 'abc', indices: [], complete: false, left: 'xyz', leftConsumed: 'xyz' },
  { mode: 'all-in-order', arrivals: 'xyz', targets: '', indices: [], left: 'xyz', leftConsumed: 'xyz' },
  { mode: 'all-any-order', arrivals: 'xyz', targets: '', indices: [], left: 'xyz', leftConsumed: 'xyz' },
  { mode: 'any', arrivals: 'xyz', targets: '', indices: [], left: 'xyz', leftConsumed: 'xyz' },
];

/** The wait as it should be, told in the plainest way: all that ever arrives, one by one. */
function expected({ mode, targets, arrivals, consume }: Pick<Case, 'mode'> & Lists & { readonly consume: boolean }) {
  const indices: number[] = [];
  const taken: number[] = [];
  const isDone = () => indices.length === (mode === 'any' ? Math.min(1, targets.length) : targets.length);
  for (const [at, arrival] of arrivals.entries()) {
    if (isDone()) break;
    const open = targets.flatMap((target, index) => (target === arrival && !indices.includes(index) ? [index] : []));
    const index = mode === 'all-in-order' ? open.find((one) => one === indices.length) : open[0];
    if (index === undefined) continue;
    indices.push(index);
    taken.push(at);
  }
  const complete = isDone();
  const last = taken.at(-1) ?? -1;
  const left = arrivals.filter((_, at) => {
    if (consume) return at > last;
    return !complete || !taken.includes(at);
  });
  return { complete, indices, entries: taken.map((at) => arrivals[at]), left };
}

interface Lists {
  readonly targets: readonly string[];
  readonly arrivals: readonly string[];
}

describe('waitForMany', () => {
  withFakeTimers();

  /** Of the arrivals so many are there before the wait begins. */
  async function outcome({ targets, arrivals }: Lists, options: WaitForManyOptions, before: number) {
    const cache = new TestCache<string>();
    cache.put(...arrivals.slice(0, before));
    const waiting = cache.waitForMany(targets, { timeoutMs: 100, ...options });
    for (const arrival of arrivals.slice(before)) cache.put(arrival);
    jest.advanceTimersByTime(100);
    const { complete, indices, entries } = await waiting;
    return { complete, indices, entries: payloadsOf(entries), left: cache.rest() };
  }

  describe.each(CASES)('$mode: $arrivals for $targets', (one) => {
    const lists = { targets: one.targets.split(''), arrivals: one.arrivals.split('') };

    it.each([0, 1, one.arrivals.length])('with %i of them there before', async (before) => {
      const found = await outcome(lists, { mode: one.mode }, before);
      expect(found).toMatchObject({
        complete: one.complete ?? true,
        indices: one.indices,
        left: one.left.split(''),
      });
      expect(found.entries).toEqual(one.indices.map((index) => one.targets[index]));
      expect(await outcome(lists, { mode: one.mode, consume: true }, before)).toMatchObject({
        complete: one.complete ?? true,
        indices: one.indices,
        left: one.leftConsumed.split(''),
      });
    });
  });

  it('does what a plain reading of all that arrives says, in every mode', async () => {
    const letters = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...MODES),
        fc.boolean(),
        letters,
        letters,
        fc.nat(12),
        async (mode, consume, targets, arrivals, before) => {
          const found = await outcome({ targets, arrivals }, { mode, consume }, before);
          expect(found).toEqual(expected({ mode, consume, targets, arrivals }));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes predicates and payloads side by side', async () => {
    const cache = new TestCache<unknown>();
    const waiting = cache.waitForMany([{ id: 1 }, ({ payload }) => payload === 'b'], { mode: 'all-any-order' });
    cache.put('x', 'b', { id: 1 });
    expect(await waiting).toMatchObject({ complete: true, indices: [1, 0] });
    expect(cache.rest()).toEqual(['x']);
  });

  it('rejects alone when a predicate throws; what it had matched is there again, for others too', async () => {
    const cache = new TestCache<string>();
    const boom = new RangeError('boom');
    const broken = caughtFrom(
      cache.waitForMany(
        [
          'a',
          ({ payload }) => {
            if (payload === 'x') throw boom;
            return false;
          },
        ],
        { mode: 'all-any-order' },
      ),
    );
    const other = cache.waitForMany(['a', 'b'], { mode: 'all-in-order' });
    cache.put('a', 'b');
    expect(cache.size).toBe(1);
    cache.put('x', 'y');
    expect(await broken).toBe(boom);
    expect(await other).toMatchObject({ complete: true, indices: [0, 1] });
    expect(cache.rest()).toEqual(['x', 'y']);
  });

  it('sets aside what it has matched: nobody else is given it until it ends, then whoever waits', async () => {
    const cache = new TestCache<string>();
    const first = cache.waitForMany(['a', 'z'], { mode: 'all-any-order', timeoutMs: 50 });
    const second = cache.waitForOne('a', { timeoutMs: 100 });
    cache.put('a', 'b');
    expect([cache.size, payloadsOf(cache.drain())]).toEqual([1, ['b']]);
    jest.advanceTimersByTime(50);
    expect(await first).toMatchObject({ complete: false, indices: [0] });
    expect((await second).payload).toBe('a');
    expect(cache.size).toBe(0);
  });

  it('gives back what it has matched to its place, where the overflow rule applies', async () => {
    for (const [overflow, left] of [
      ['drop-oldest', ['x', 'y']],
      ['drop-newest', ['a', 'x']],
      ['error', ['a', 'x']],
    ] as const) {
      const cache = new TestCache<string>({ capacity: 2, overflow });
      const waiting = cache.waitForMany(['a', 'z'], { mode: 'all-in-order', timeoutMs: 50 });
      cache.put('a', 'x', 'y');
      expect([cache.size, cache.dropped]).toEqual([2, 0]);
      jest.advanceTimersByTime(50);
      expect((await waiting).entries).toHaveLength(1);
      expect([cache.dropped, cache.ends]).toEqual([1, overflow === 'error' ? ['overflow'] : []]);
      expect(payloadsOf(cache.drain())).toEqual(left);
    }
  });

  it('finds in order what another wait gives back late', async () => {
    const cache = new TestCache<string>();
    const first = cache.waitForMany(['a', 'z'], { mode: 'all-in-order', timeoutMs: 50 });
    const second = cache.waitForMany(['a', 'b'], { mode: 'all-in-order', timeoutMs: 100 });
    const third = cache.waitForMany(['c', 'a'], { mode: 'all-in-order', timeoutMs: 100 });
    cache.put('a', 'b', 'c');
    jest.advanceTimersByTime(50);
    expect(await first).toMatchObject({ complete: false });
    expect(await second).toMatchObject({ complete: true, indices: [0, 1] });
    jest.advanceTimersByTime(50);
    expect(await third).toMatchObject({ complete: false, indices: [0] });
    expect(cache.rest()).toEqual(['c']);
  });

  it('never loses an entry, and never gives it to two, whatever waits and reads there are', async () => {
    const step = fc.oneof(
      fc.record({ put: fc.constantFrom('a', 'b', 'c') }),
      fc.record({
        wait: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
        mode: fc.constantFrom(...MODES),
        timeoutMs: fc.integer({ min: 0, max: 5 }),
      }),
      fc.record({ read: fc.constantFrom('get' as const, 'drain' as const) }),
      fc.record({ passMs: fc.integer({ min: 1, max: 4 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const cache = new TestCache<string>();
        const given: unknown[] = [];
        const ends: Promise<unknown>[] = [];
        let count = 0;
        for (const one of steps) {
          if ('put' in one) {
            cache.put(one.put);
            count++;
          } else if ('passMs' in one) jest.advanceTimersByTime(one.passMs);
          else if ('read' in one && one.read === 'drain') given.push(...cache.drain(1));
          else if ('read' in one) ends.push(cache.get({ timeoutMs: 3 }).then((entry) => given.push(entry)));
          else {
            const { mode, timeoutMs } = one;
            const waiting = cache.waitForMany(one.wait, { mode, timeoutMs });
            ends.push(waiting.then(({ complete, entries }) => complete && given.push(...entries)));
          }
          await Promise.resolve();
        }
        jest.advanceTimersByTime(10);
        await Promise.allSettled(ends);
        const rest = cache.drain();
        expect(new Set([...given, ...rest]).size).toBe(count);
        expect(given.length + rest.length).toBe(count);
      }),
      { numRuns: 300 },
    );
  });
});

describe('many entries', () => {
  const PLENTY = { capacity: 100_000, capacityBytes: 2 ** 30 };

  it.each(MODES)(
    'pass by the waits quickly: %s',
    async (mode) => {
      const cache = new TestCache<number>(PLENTY);
      const begun = performance.now();
      const targets = Array.from({ length: 20 }, (_, index) => (mode === 'any' ? -1 : 5_000 * index + 4_999));
      const waiting = cache.waitForMany(targets, { mode });
      const never = caughtFrom(cache.waitFor(({ payload }) => payload < -1));
      for (let n = 0; n < 100_000; n++) cache.put(n);
      cache.put(-1);
      expect((await waiting).complete).toBe(true);
      // a wait that looked at all that is kept for each arrival would take minutes
      expect(performance.now() - begun).toBeLessThan(20_000);
      await cache.close();
      await never;
    },
    60_000,
  );

  it('are read one by one quickly, while a wait holds many', async () => {
    const cache = new TestCache<number>(PLENTY);
    const end = new AbortController();
    const targets = Array.from({ length: 20_000 }, (_, index) => index);
    const waiting = caughtFrom(cache.waitForMany([...targets, -1], { mode: 'all-in-order', signal: end.signal }));
    const begun = performance.now();
    for (let n = 0; n < 100_000; n++) cache.put(n);
    let sum = 0;
    for (let n = 20_000; n < 60_000; n++) sum += (await cache.get()).payload - n;
    end.abort(new Error('enough'));
    await waiting;
    expect([sum, cache.size]).toEqual([0, 60_000]);
    expect((await cache.get()).payload).toBe(0);
    expect(performance.now() - begun).toBeLessThan(20_000);
  }, 60_000);

  it('are compared quickly, many with many', async () => {
    const cache = new TestCache<{ readonly id: string; readonly of: object }>(PLENTY);
    for (let n = 0; n < 20_000; n++) cache.put({ id: `${n}`, of: {} });
    const targets = Array.from({ length: 500 }, (_, n) => ({ id: `none ${n}`, of: {} }));
    const begun = performance.now();
    const { complete } = await cache.waitForMany(targets, { mode: 'all-any-order', timeoutMs: 0 });
    expect([complete, cache.size]).toEqual([false, 20_000]);
    expect(performance.now() - begun).toBeLessThan(4_000);
  }, 60_000);
});
