import type { EventMessage, SubscribeOptions } from './subscriber.js';

/** One event that a cache has kept. */
export interface CacheEntry<T = unknown> extends EventMessage<T> {
  /** When it arrived here, in milliseconds since 1970; `message.timestamp` says when it was published. */
  readonly receivedAt: number;
}

/** Says of an entry whether it is the one. Must be synchronous; may be asked more than once about the same entry. */
export type CachePredicate<T = unknown> = (entry: CacheEntry<T>) => boolean;

/**
 * What to wait for: a predicate; an object of an `@Event` class, which stands for its topic and payload; or else a payload. It is equal
 * to the one that is meant, with all that is in it.
 *
 * An object of a class equals the plain object that JSON makes of it: classes do not count, nor do properties that are functions or
 * `undefined` (which in a list are null); NaN is null, and what has a `toJSON` (a Date) counts as what that gives. Maps, Sets and
 * bytes are compared as they are.
 */
export type CacheTarget<T = unknown> =
  | CachePredicate<T>
  | object
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined;

/** What becomes of an event that finds the cache full. */
export type CacheOverflow = 'drop-oldest' | 'drop-newest' | 'error';

/** How much a cache keeps. */
export interface CacheLimits {
  /** Most entries that are kept, from 1 to 1 000 000. Default 200. */
  readonly capacity?: number;
  /** Most bytes of bodies, headers and topics that are kept. Default 64 MiB. What they are decoded to takes more. */
  readonly capacityBytes?: number;
  /**
   * What becomes of an event that finds no room. `drop-oldest` (default): it takes the place of the oldest. `drop-newest`: it is
   * dropped. `error`: it is dropped and ends the intake; what was kept before can still be read, and then every read and wait
   * rejects with a CacheOverflowError (`CACHE_OVERFLOW`). An event that a wait was waiting for needs no room.
   */
  readonly overflow?: CacheOverflow;
}

/**
 * Options of `record`: those of `subscribe`, and how much is kept. With `group` the events of a durable queue are acknowledged as
 * soon as the cache has them: they are in the memory of this process only, and what it drops is gone for the whole group.
 */
export interface RecordOptions extends SubscribeOptions, CacheLimits {}

export interface CacheWaitOptions {
  /** How long to wait, in milliseconds; 0 looks only at what is there. At most a day. Default 30 000. */
  readonly timeoutMs?: number;
  /** Stops waiting: rejects with the signal's reason, and nothing is taken out. */
  readonly signal?: AbortSignal;
}

export interface WaitForOneOptions extends CacheWaitOptions {
  /** Whether all that came before what is found is taken out as well. Default `false`: it stays, in its order. */
  readonly consume?: boolean;
}

/**
 * `all-in-order`: each target by an entry that came after the entry of the target before it; what fits no target, or not the next
 * one, is passed over. `all-any-order`: each target by an entry of its own. `any`: one entry for one of them.
 */
export type WaitForManyMode = 'all-in-order' | 'all-any-order' | 'any';

export interface WaitForManyOptions extends CacheWaitOptions {
  readonly mode: WaitForManyMode;
  /**
   * Whether all that came before the last match is taken out as well, and the matches even when not all have come in time.
   * Default `false`: what does not match stays in its order, and with an incomplete result everything does.
   */
  readonly consume?: boolean;
}

export interface WaitForManyResult<T = unknown> {
  /** Whether all were found that `mode` asks for. `false`: the time was over. */
  readonly complete: boolean;
  /** Which targets were found, in the order in which their entries arrived. An entry is for the first target that it fits. */
  readonly indices: number[];
  /** The entries for `indices`, one for each. */
  readonly entries: CacheEntry<T>[];
}

/**
 * Keeps the events of a subscription, in the order in which they arrive, until somebody reads them or waits for them.
 *
 * An entry goes to one reader: the wait that began first and wants it. Entries that a `waitForMany` has matched are set aside for it
 * while it waits: nobody else is given them and they are not counted, and they come back to their places when it ends without them.
 * `for await` takes out entries as they come, ends when the cache or the bus is closed, and rejects as `get` does.
 *
 * Waits reject with a CacheTimeoutError (`CACHE_TIMEOUT`) when the time is over, a BusClosedError when the cache or the bus is
 * closed meanwhile, a CacheOverflowError (see `overflow`), what a predicate has thrown, or a ConfigurationError for a bad option.
 * After a close or an overflow they still find what was kept.
 *
 * @example
 * const orders = await bus.record<Order>('orders.*');
 * await shop.buy('42');
 * const { payload } = await orders.waitFor(({ topic }) => topic === 'orders.created', { timeoutMs: 5_000 });
 * await orders.close();
 * @publicApi
 */
export interface SubscriptionCache<T = unknown> extends AsyncIterable<CacheEntry<T>> {
  /** How many entries can be read. */
  readonly size: number;
  /** How many events found no room, or had to make room, since the cache is there. */
  readonly dropped: number;
  /** Takes out the oldest entry, when there is one. */
  get(options?: CacheWaitOptions): Promise<CacheEntry<T>>;
  /** The same as `get`. */
  pop(options?: CacheWaitOptions): Promise<CacheEntry<T>>;
  /** The oldest entry, when there is one; it stays. */
  peek(options?: CacheWaitOptions): Promise<CacheEntry<T>>;
  /**
   * Takes out what is there, the oldest first, at most `max` (default: all).
   *
   * @throws CacheOverflowError when the cache has overflowed and is empty; ConfigurationError for a bad `max`
   */
  drain(max?: number): CacheEntry<T>[];
  /** Takes out the first entry for which the predicate holds, there already or to come. All others stay. */
  waitFor(predicate: CachePredicate<T>, options?: CacheWaitOptions): Promise<CacheEntry<T>>;
  /** As `waitFor`, also by payload; with `consume` it takes out all that came before as well. */
  waitForOne(target: CacheTarget<T>, options?: WaitForOneOptions): Promise<CacheEntry<T>>;
  /**
   * Waits for several, there already or to come. When they are complete, their entries are taken out. When the time is over it
   * resolves all the same, with what was found by then, which stays in the cache. No targets: complete at once.
   *
   * @example
   * const { complete, indices } = await cache.waitForMany([new OrderCreated('42'), ({ topic }) => topic === 'orders.paid'], {
   *   mode: 'all-any-order',
   * });
   */
  waitForMany(targets: readonly CacheTarget<T>[], options: WaitForManyOptions): Promise<WaitForManyResult<T>>;
  /** Takes no more events, ends all waits, cancels the subscription. What was kept can still be read. Idempotent. */
  close(): Promise<void>;
}
