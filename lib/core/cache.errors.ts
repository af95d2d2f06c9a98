import { EventBusError } from './event-bus.error.js';

/** No entry for which a cache was asked came in time. The cache goes on; what it keeps is still there. */
export class CacheTimeoutError extends EventBusError {
  /**
   * @param wait what was called
   * @param cache of which patterns
   */
  constructor(wait: string, cache: string, timeoutMs: number) {
    super('CACHE_TIMEOUT', `${wait}: no such event of ${cache} came within ${timeoutMs} ms.`, { retryable: true });
  }
}

/** A cache with `overflow: 'error'` was full when another event came. It takes no more; what it kept before can still be read. */
export class CacheOverflowError extends EventBusError {
  constructor(cache: string, capacity: number, capacityBytes: number) {
    super(
      'CACHE_OVERFLOW',
      `The cache of ${cache} was full (${capacity} events or ${capacityBytes} bytes of them) when another one came, and takes no more. Read faster, raise capacity or capacityBytes, or choose another overflow.`,
    );
  }
}
