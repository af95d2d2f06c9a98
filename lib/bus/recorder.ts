import { BusClosedError, ConfigurationError, RetryLaterError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';
import { shape } from '../core/options.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import { CACHE_LIMITS } from './option-checks.js';
import { RecordedCache } from './recorded-cache.js';
import type { SubscribeHandler, SubscribeOptions } from './subscriber.js';
import type { Subscription } from './subscription.js';
import type { RecordOptions } from './subscription-cache.js';

/** Deliveries that may be on their way to a cache, which takes each of them in at once. */
const PREFETCH = 100;
const TAKE_IN_MS = 10_000;
/** What a cache that has ended gives back to its group waits so long for another reader. */
const GIVE_BACK_MS = 1_000;

type Pattern<T> = string | readonly string[] | EventClass<T> | EventDefinition<T>;

/** Subscribes as `EventBus.subscribe` does. */
export type SubscribeCall = <T>(
  pattern: Pattern<T>,
  handler: SubscribeHandler<T>,
  options: SubscribeOptions,
) => Promise<Subscription>;

/** Makes caches, and ends them with the bus. */
export class Recorder {
  private readonly caches = new Set<Pick<RecordedCache<unknown>, 'end'>>();
  private isEnded = false;

  constructor(
    private readonly subscribe: SubscribeCall,
    private readonly logger: BusLogger,
  ) {}

  async record<T>(pattern: Pattern<T>, options: RecordOptions): Promise<RecordedCache<T>> {
    if (this.isEnded) throw new BusClosedError('record');
    const { capacity, capacityBytes, overflow, ...subscribe } = checked(options);
    let cancel: (() => Promise<void>) | undefined;
    const undo = async (): Promise<void> => {
      this.caches.delete(cache);
      await cancel?.();
    };
    const cache = new RecordedCache<T>(
      nameOf(pattern),
      {
        capacity: capacity ?? DEFAULTS.cacheEntries,
        capacityBytes: capacityBytes ?? DEFAULTS.cacheBytes,
        overflow: overflow ?? 'drop-oldest',
      },
      undo,
      () => {
        undo().catch((error: unknown) => {
          this.logger.warn(`The subscription of a full cache could not be cancelled: ${describeError(error)}`);
        });
      },
    );
    const takeIn: SubscribeHandler<T> = (payload, { topic, headers, message }) => {
      if (cache.add({ payload, topic, headers, message }) || subscribe.group === undefined) return;
      throw new RetryLaterError(GIVE_BACK_MS, 'The cache that reads for this group takes no more.');
    };
    this.caches.add(cache);
    try {
      const subscription = await this.subscribe(pattern, takeIn, inTurn(subscribe));
      cancel = () => subscription.cancel();
    } catch (error) {
      this.caches.delete(cache);
      throw error;
    }
    // it may have ended while it was subscribed
    if (!this.caches.has(cache)) await cancel();
    if (this.isEnded) throw new BusClosedError('record');
    return cache;
  }

  /** With the bus: whoever waits is told, before handlers are waited for that may be among them. */
  end(): void {
    this.isEnded = true;
    for (const cache of this.caches) cache.end(new BusClosedError('wait for events'));
    this.caches.clear();
  }
}

/** One after the other, so that they are kept in order of arrival, whatever their schema takes. */
function inTurn(options: SubscribeOptions): SubscribeOptions {
  const { concurrency = 1, timeoutMs = TAKE_IN_MS } = options;
  // more would be refused as held for too long
  const bearable = Math.max(1, Math.floor(LIMITS.holdMs / timeoutMs) || 1);
  return { ...options, concurrency, timeoutMs, prefetch: options.prefetch ?? Math.min(PREFETCH, bearable) };
}

function checked(options: RecordOptions): RecordOptions {
  const problems: string[] = [];
  if (typeof options !== 'object' || options === null) shape({})(options, 'record options', problems);
  const { capacity, capacityBytes, overflow } = options ?? {};
  shape(CACHE_LIMITS)({ capacity, capacityBytes, overflow }, 'record options', problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return options;
}

/** For errors: what was asked for. */
function nameOf(pattern: unknown): string {
  if (typeof pattern === 'function') return pattern.name;
  const patterns = Array.isArray(pattern) ? pattern : [(pattern as { topic?: unknown } | null)?.topic ?? pattern];
  return patterns.map((one) => `"${String(one)}"`).join(', ');
}
