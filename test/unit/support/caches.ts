import { RecordedCache } from '../../../lib/bus/recorded-cache.js';
import type { CacheEntry, CacheLimits } from '../../../lib/bus/subscription-cache.js';
import { aMessage } from './message.js';

/** A cache that the test fills itself, with what it has told of its end. */
export class TestCache<T = unknown> extends RecordedCache<T> {
  constructor(
    limits: CacheLimits = {},
    readonly ends: string[] = [],
  ) {
    super(
      '"test.*"',
      { capacity: 200, capacityBytes: 1_000_000, overflow: 'drop-oldest', ...limits },
      async () => void ends.push('cancelled'),
      () => void ends.push('overflow'),
    );
  }

  /** Each payload as an event of its own. @returns which of them were taken in */
  put(...payloads: readonly T[]): readonly boolean[] {
    return payloads.map((payload) => {
      const message = aMessage();
      return this.add({ payload, topic: message.topic, headers: message.headers, message });
    });
  }

  /** What can be read, taking it out. */
  rest(): readonly T[] {
    return payloadsOf(this.drain());
  }
}

export function payloadsOf<T>(entries: readonly CacheEntry<T>[]): readonly T[] {
  return entries.map(({ payload }) => payload);
}
