import { ConfigurationError } from './errors.js';
import type { Message } from './message.js';
import type { DeadLetterQuery } from './transport.js';

/** What decides over the place of a dead letter, and whether it is meant. */
export interface DeadLetterEntry {
  readonly id: string;
  readonly lastFailedAt: number | undefined;
}

/**
 * The places of `entries`, that of the oldest failure first. Those of one moment stay as they came; one without a time keeps
 * its place behind the one that came before it.
 */
export function oldestFirst(entries: readonly DeadLetterEntry[]): readonly number[] {
  let last = 0;
  const times = entries.map(({ lastFailedAt }) => {
    last = lastFailedAt ?? last;
    return last;
  });
  return times.map((_, place) => place).toSorted((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
}

/** The places of those that a query means, the oldest first. */
export function chooseLetters(
  entries: readonly DeadLetterEntry[],
  { ids, limit }: Pick<DeadLetterQuery, 'ids' | 'limit'>,
): readonly number[] {
  const wanted = ids && new Set(ids);
  return oldestFirst(entries)
    .filter((place) => wanted?.has(entries[place]?.id ?? '') ?? true)
    .slice(0, limit);
}

/** As it goes back to its group: who replays an event wants it handled, so that an expiry that has passed counts no more. */
export function toReplayed(message: Message): Message {
  const { expiresAt, ...rest } = message;
  if (expiresAt === undefined || expiresAt > Date.now()) return message;
  return Object.freeze(rest);
}

export function noQueueToReplayTo(group: string): ConfigurationError {
  return new ConfigurationError(
    `Group "${group}" has no queue to replay to. Start its consumer once, so that it is declared. The dead letters of private handlers (group "<service>.broadcast") have no group to go back to: list them, and publish anew what is still wanted.`,
  );
}
