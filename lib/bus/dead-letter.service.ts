import type { Failure } from '../core/delivery.js';
import { ConfigurationError } from '../core/errors.js';
import type { Headers } from '../core/message.js';
import { integer } from '../core/options.js';
import type { Serializer } from '../core/serializer.js';
import type { DeadLetterQuery, DeadLetterRecord, DeadLetters } from '../core/transport.js';

/** A message that a group could not handle. */
export interface DeadLetter {
  readonly id: string;
  readonly topic: string;
  readonly group: string;
  /** The decoded body; absent when it cannot be decoded. */
  readonly payload?: unknown;
  readonly body: Uint8Array;
  readonly headers: Headers;
  /**
   * `attempts-exhausted`, `not-retryable`, `forbidden`, `validation`, `undecodable`, `unmatched`, `deferrals-exhausted`;
   * from the broker itself `delivery-limit`, `expired`, `rejected`.
   */
  readonly reason: string;
  readonly error?: Failure;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly firstFailedAt?: number;
  /** Milliseconds since 1970. */
  readonly lastFailedAt?: number;
}

/**
 * Reads, replays and purges the dead letters of a group.
 *
 * @example
 * const [letter] = await deadLetters.list('mail.welcome');
 * await deadLetters.replay('mail.welcome', { ids: [letter.id] });
 * @publicApi
 */
export class DeadLetterService {
  constructor(
    private readonly deadLetters: DeadLetters,
    private readonly serializer: Serializer,
    private readonly qualify: (group: string) => string,
  ) {}

  /** The oldest ones, in order; reading changes nothing. @param options.limit default 100, at most 10 000 */
  async list(group: string, { limit = 100 }: { readonly limit?: number } = {}): Promise<readonly DeadLetter[]> {
    assertLimit(limit);
    const records = await this.deadLetters.list(this.name(group), limit);
    return records.map((record) => this.toDeadLetter(record, group));
  }

  async count(group: string): Promise<number> {
    return this.deadLetters.count(this.name(group));
  }

  /**
   * Gives them back to the failing group only, as attempt 1; each is removed here after it is safe there.
   *
   * @param query which ones: `ids`, at most `limit`, or all
   * @returns how many were replayed
   */
  async replay(group: string, query: DeadLetterQuery = {}): Promise<number> {
    if (query.limit !== undefined) assertLimit(query.limit);
    return this.deadLetters.replay(this.name(group), query);
  }

  /** Removes all of them for ever. @returns how many */
  async purge(group: string): Promise<number> {
    return this.deadLetters.purge(this.name(group));
  }

  private name(group: string): string {
    if (typeof group !== 'string' || group === '')
      throw new ConfigurationError('Name the group whose dead letters are meant.');
    return this.qualify(group);
  }

  private toDeadLetter(record: DeadLetterRecord, group: string): DeadLetter {
    const { message, reason, attempts, failure, firstFailedAt, lastFailedAt } = record;
    return {
      id: message.id,
      topic: message.topic,
      group,
      body: message.body,
      headers: message.headers,
      reason,
      attempts,
      ...this.payload(record),
      ...(failure && { error: failure }),
      ...(firstFailedAt !== undefined && { firstFailedAt }),
      ...(lastFailedAt !== undefined && { lastFailedAt }),
    };
  }

  private payload({ message }: DeadLetterRecord): { readonly payload?: unknown } {
    try {
      return { payload: this.serializer.decode(message.body) };
    } catch {
      return {}; // that it cannot be decoded is often why it is here; the bytes are in `body`
    }
  }
}

function assertLimit(limit: number): void {
  const problems: string[] = [];
  integer(1, 10_000)(limit, 'limit', problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
}
