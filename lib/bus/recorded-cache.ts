import { BusClosedError, CacheTimeoutError, ConfigurationError } from '../core/errors.js';
import { DEFAULTS } from '../core/limits.js';
import { abortSignal, assertValid, bool, type Check, integer, oneOf, shape } from '../core/options.js';
import { FirstSearch, ManySearch, predicateTest, testOf } from './cache-search.js';
import { CacheWaits } from './cache-waits.js';
import { EntryQueue, type KeptEntry } from './entry-queue.js';
import { compact } from './kept-message.js';
import type { EventMessage } from './subscriber.js';
import type {
  CacheEntry,
  CacheLimits,
  CachePredicate,
  CacheTarget,
  CacheWaitOptions,
  SubscriptionCache,
  WaitForManyOptions,
  WaitForManyResult,
  WaitForOneOptions,
} from './subscription-cache.js';

const WAIT_SHAPE = { timeoutMs: integer(0, 86_400_000), signal: abortSignal };
const WAIT = shape(WAIT_SHAPE);
const WAIT_FOR_ONE = shape({ ...WAIT_SHAPE, consume: bool });
const WAIT_FOR_MANY = shape({
  ...WAIT_SHAPE,
  consume: bool,
  mode: oneOf(['all-in-order', 'all-any-order', 'any']),
});
const MAX = integer(0, Number.MAX_SAFE_INTEGER);

/** The cache of one subscription. */
export class RecordedCache<T> implements SubscriptionCache<T> {
  private readonly queue: EntryQueue<T>;
  private readonly waits: CacheWaits<T>;
  private closed: BusClosedError | undefined;
  private closing: Promise<void> | undefined;

  /**
   * @param name of what it is the cache, for its errors
   * @param cancel ends the subscription; idempotent
   * @param onOverflow called when it takes nothing more because of an overflow
   */
  constructor(
    private readonly name: string,
    limits: Required<CacheLimits>,
    private readonly cancel: () => Promise<void>,
    onOverflow: () => void,
  ) {
    this.queue = new EntryQueue(limits);
    this.waits = new CacheWaits(name, this.queue, onOverflow);
  }

  get size(): number {
    return this.queue.size;
  }

  get dropped(): number {
    return this.queue.dropped;
  }

  /** Whether it takes nothing more because it, or the bus, was closed. */
  get isClosed(): boolean {
    return this.closed !== undefined;
  }

  /** @returns false when it takes nothing more */
  add({ payload, topic, headers, message }: EventMessage<T>): boolean {
    return this.waits.add({ payload, topic, headers, message: compact(message), receivedAt: Date.now() });
  }

  get(options?: CacheWaitOptions): Promise<CacheEntry<T>> {
    return this.first('get', undefined, options, true);
  }

  pop(options?: CacheWaitOptions): Promise<CacheEntry<T>> {
    return this.first('pop', undefined, options, true);
  }

  peek(options?: CacheWaitOptions): Promise<CacheEntry<T>> {
    return this.first('peek', undefined, options, false);
  }

  drain(max?: number): CacheEntry<T>[] {
    if (max !== undefined) assertValid(MAX, max, 'max');
    const { ended } = this.waits;
    if (this.queue.size === 0 && ended && ended !== this.closed) throw ended;
    const entries: CacheEntry<T>[] = [];
    for (let kept = this.queue.head; kept && entries.length < (max ?? Infinity); kept = this.queue.head) {
      this.queue.remove(kept);
      entries.push(kept.entry);
    }
    return entries;
  }

  async waitFor(predicate: CachePredicate<T>, options?: CacheWaitOptions): Promise<CacheEntry<T>> {
    return this.first('waitFor', predicateTest(predicate, 'The predicate of waitFor'), options, true);
  }

  async waitForOne(target: CacheTarget<T>, options?: WaitForOneOptions): Promise<CacheEntry<T>> {
    return this.first('waitForOne', testOf(target, 'The target of waitForOne'), options, true, WAIT_FOR_ONE);
  }

  async waitForMany(targets: readonly CacheTarget<T>[], options: WaitForManyOptions): Promise<WaitForManyResult<T>> {
    assertValid(WAIT_FOR_MANY, options, 'waitForMany options');
    const { mode, consume, timeoutMs = DEFAULTS.cacheWaitMs, signal } = options;
    if (mode === undefined)
      throw new ConfigurationError("waitForMany needs a mode: 'all-in-order', 'all-any-order' or 'any'.");
    if (!Array.isArray(targets)) throw new ConfigurationError('The targets of waitForMany must be an array.');
    const tests = targets.map((target: CacheTarget<T>, index) => testOf(target, `Target ${index} of waitForMany`));
    const search = new ManySearch<T>(tests, mode);
    const result = (complete: boolean): WaitForManyResult<T> => ({
      complete,
      indices: search.found.map(({ index }) => index),
      entries: search.found.map(({ kept }) => kept.entry),
    });
    const results = { result: () => result(true), timedOut: () => result(false) };
    return this.waits.wait({ search, takes: true, consume, timeoutMs, signal, ...results });
  }

  [Symbol.asyncIterator](): AsyncIterator<CacheEntry<T>> {
    const left = new AbortController();
    const end: IteratorReturnResult<undefined> = { done: true, value: undefined };
    return {
      next: async () => {
        try {
          return { done: false, value: await this.firstOf(new FirstSearch<T>(), 'next', undefined, left.signal, true) };
        } catch (error) {
          if (left.signal.aborted || error === this.closed) return end;
          throw error;
        }
      },
      return: async () => {
        left.abort();
        return end;
      },
    };
  }

  /** Takes nothing more in, and ends all waits. The subscription is left to whoever calls it. */
  end(reason: BusClosedError): void {
    this.closed ??= reason;
    this.waits.end(reason);
  }

  close(): Promise<void> {
    this.end(new BusClosedError('wait for events', false, `the cache of ${this.name}`));
    this.closing ??= this.cancel();
    return this.closing;
  }

  /** Checks its arguments before it reads: a bad option rejects, and takes nothing out. */
  private async first(
    call: string,
    test: ((kept: KeptEntry<T>) => boolean) | undefined,
    options: WaitForOneOptions | undefined,
    takes: boolean,
    check: Check = WAIT,
  ): Promise<CacheEntry<T>> {
    if (options !== undefined) assertValid(check, options, `${call} options`);
    const { timeoutMs = DEFAULTS.cacheWaitMs, signal, consume } = options ?? {};
    return this.firstOf(new FirstSearch<T>(test), call, timeoutMs, signal, takes, consume);
  }

  private firstOf(
    search: FirstSearch<T>,
    call: string,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
    takes: boolean,
    consume?: boolean,
  ): Promise<CacheEntry<T>> {
    return this.waits.wait({
      search,
      takes,
      consume,
      timeoutMs,
      signal,
      result: () => search.entry,
      timedOut: () => {
        throw new CacheTimeoutError(call, this.name, timeoutMs ?? 0);
      },
    });
  }
}
