import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CacheOverflow } from '../../../lib/bus/subscription-cache.js';
import { CacheOverflowError, CacheTimeoutError } from '../../../lib/core/errors.js';
import { payloadsOf, TestCache } from '../support/caches.js';

const NOW = { timeoutMs: 0 };

type Step =
  | { readonly call: 'put'; readonly payload: number }
  | { readonly call: 'drain'; readonly max: number | undefined }
  | { readonly call: 'waitForOne'; readonly payload: number; readonly consume: boolean }
  | { readonly call: 'get' | 'pop' | 'peek' | 'waitFor' };

const isEven = (payload: number): boolean => payload % 2 === 0;

/** What the cache does. */
async function perform(cache: TestCache<number>, step: Step): Promise<unknown> {
  try {
    if (step.call === 'put') return cache.put(step.payload)[0];
    if (step.call === 'drain') return payloadsOf(cache.drain(step.max));
    if (step.call === 'waitFor') return (await cache.waitFor(({ payload }) => isEven(payload), NOW)).payload;
    if (step.call !== 'waitForOne') return (await cache[step.call](NOW)).payload;
    return (await cache.waitForOne(step.payload, { ...NOW, consume: step.consume })).payload;
  } catch (error) {
    return (error as Error).name;
  }
}

/** A cache as an array. */
class Model {
  private readonly kept: number[] = [];
  private dropped = 0;
  private isFull = false;

  constructor(
    private readonly capacity: number,
    private readonly overflow: CacheOverflow,
  ) {}

  get counts(): readonly number[] {
    return [this.kept.length, this.dropped];
  }

  perform(step: Step): unknown {
    if (step.call === 'put') return this.put(step.payload);
    if (step.call === 'peek') return this.kept[0] ?? this.nothing;
    if (step.call === 'waitFor') return this.take(isEven);
    if (step.call === 'drain') {
      return this.kept.length === 0 && this.isFull ? this.nothing : this.kept.splice(0, step.max ?? this.kept.length);
    }
    if (step.call !== 'waitForOne') return this.take(() => true);
    const at = this.kept.indexOf(step.payload);
    const found = this.take((payload) => payload === step.payload);
    if (step.consume && at > 0) this.kept.splice(0, at);
    return found;
  }

  private get nothing(): string {
    return this.isFull ? CacheOverflowError.name : CacheTimeoutError.name;
  }

  private put(payload: number): boolean {
    if (this.isFull) return false;
    this.kept.push(payload);
    if (this.kept.length <= this.capacity) return true;
    this.dropped++;
    this.kept.splice(this.overflow === 'drop-oldest' ? 0 : this.capacity, 1);
    this.isFull = this.overflow === 'error';
    return !this.isFull;
  }

  /** Takes out the first that fits. */
  private take(fits: (payload: number) => boolean): number | string {
    const at = this.kept.findIndex(fits);
    return at < 0 ? this.nothing : (this.kept.splice(at, 1)[0] ?? this.nothing);
  }
}

describe('a cache', () => {
  it('does what an array does, whatever is put in and read, with every overflow rule', async () => {
    const payload = fc.nat(9);
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 5, arbitrary: fc.record({ call: fc.constant('put' as const), payload }) },
      fc.record({ call: fc.constant('drain' as const), max: fc.option(fc.nat(3), { nil: undefined }) }),
      fc.record({ call: fc.constant('waitForOne' as const), payload, consume: fc.boolean() }),
      fc.record({ call: fc.constantFrom('get' as const, 'pop' as const, 'peek' as const, 'waitFor' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('drop-oldest' as const, 'drop-newest' as const, 'error' as const),
        fc.array(step, { maxLength: 40 }),
        async (capacity, overflow, steps) => {
          const cache = new TestCache<number>({ capacity, overflow });
          const model = new Model(capacity, overflow);
          for (const one of [...steps, { call: 'drain', max: undefined } as const]) {
            expect(await perform(cache, one)).toEqual(model.perform(one));
            expect([cache.size, cache.dropped]).toEqual(model.counts);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
