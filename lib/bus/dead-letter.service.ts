import type { Failure } from '../core/delivery.js';
import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Headers, Message } from '../core/message.js';
import { ANY, assertValid, func, integer, listOf, shape, text } from '../core/options.js';
import type { DeadLetterRecord, DeadLetters } from '../core/transport.js';
import type { MessageDecoder } from './message-decoder.js';

/** A message that a group could not handle. */
export interface DeadLetter {
  /** Empty for a message that came without one, from another client. */
  readonly id: string;
  readonly topic: string;
  readonly group: string;
  /** The decoded body; absent when it cannot be decoded. */
  readonly payload?: unknown;
  readonly body: Uint8Array;
  readonly headers: Headers;
  /**
   * `attempts-exhausted`, `not-retryable`, `forbidden`, `validation`, `undecodable`, `unmatched`, `deferrals-exhausted`;
   * from the broker itself `delivery-limit`, `expired`, `rejected`, `maxlen`; `unknown` when nothing tells it.
   */
  readonly reason: string;
  /** What the handler threw, or a sentence that says what happened. */
  readonly error: Failure;
  readonly attempts: number;
  /** Milliseconds since 1970; of what the broker itself made in whole seconds, and absent where nothing tells it. */
  readonly firstFailedAt?: number;
  /** As `firstFailedAt`. */
  readonly lastFailedAt?: number;
}

export interface ListDeadLettersOptions {
  /** At most so many, whose bodies are in memory all at once. Default 100, at most 10 000. */
  readonly limit?: number;
  /** So many of the oldest are left out. Default 0. Only the oldest 10 000 can be listed: beyond them the page is empty. */
  readonly offset?: number;
}

export interface ReplayDeadLettersOptions {
  /** Only those with these ids, 1 to 10 000 of them, among the oldest 10 000. */
  readonly ids?: readonly string[];
  /** Only so many, the oldest; at most 10 000. */
  readonly limit?: number;
  /** Told after each one how many have been replayed, of how many. What it throws ends the replay. */
  readonly onProgress?: (replayed: number, total: number) => void;
  /** Ends the replay, which then resolves with the number of those that are done. The others stay dead. */
  readonly signal?: AbortSignal;
}

const LIMIT = integer(1, LIMITS.deadLetters);
const LIST_SHAPE = shape({ limit: LIMIT, offset: integer(0, Number.MAX_SAFE_INTEGER) });
const REPLAY_SHAPE = shape({
  ids: (value, path, problems) => {
    listOf(text(), 1)(value, path, problems);
    if (Array.isArray(value) && value.length > LIMITS.deadLetters)
      problems.push(`${path} has at most ${LIMITS.deadLetters} items.`);
  },
  limit: LIMIT,
  onProgress: func,
  signal: ANY,
});

/**
 * Reads, replays and purges the dead letters of a group. One reader of a group at a time, in all processes: another one waits,
 * at most 10 s, and then rejects with a DeadLettersBusyError.
 *
 * @example
 * const [letter] = await deadLetters.list('mail.welcome');
 * await deadLetters.replay('mail.welcome', { ids: [letter.id] });
 * @publicApi
 */
export class DeadLetterService {
  /** @param decoder a body that it refuses is listed without its payload, as no handler would have got it */
  constructor(
    private readonly deadLetters: DeadLetters,
    private readonly decoder: MessageDecoder,
    private readonly qualify: (group: string) => string,
  ) {}

  /**
   * A page of them, in the order in which they failed, the oldest first. Reading changes nothing.
   *
   * @throws ConfigurationError for a limit or offset out of range
   * @throws DeadLettersBusyError when somebody else reads them for too long
   * @example
   * const page = await deadLetters.list('mail.welcome', { limit: 50, offset: 100 });
   */
  async list(group: string, options: ListDeadLettersOptions = {}): Promise<readonly DeadLetter[]> {
    assertValid(LIST_SHAPE, options, '');
    const { limit = 100, offset = 0 } = options;
    const records = await this.deadLetters.list(this.name(group), limit, offset);
    return records.map((record) => this.toDeadLetter(record, group));
  }

  /**
   * How many there are, those included that somebody is reading.
   *
   * @throws DeadLettersBusyError when somebody else reads them for too long
   */
  async count(group: string): Promise<number> {
    return this.deadLetters.count(this.name(group));
  }

  /**
   * Gives them back to the failing group only, as attempt 1; each is removed here when it is safe there. Without `ids` and
   * `limit` all that are there when it begins, however many; what fails again meanwhile is not replayed again. When the process
   * dies, none is lost, and at most 1 000 are replayed twice. One whose expiry has passed is handled all the same. At most 500
   * bodies are in memory at one time, of large ones fewer, unless some are chosen among others.
   *
   * @param options which ones: `ids`, at most `limit`, or all
   * @returns how many were replayed
   * @throws ConfigurationError when the group has no queue: it never ran, or it stands for private handlers
   * @throws DeadLettersBusyError when somebody else reads them for too long
   * @throws BusClosedError when the bus is closed meanwhile; what was replayed stays so
   * @example
   * await deadLetters.replay('mail.welcome', { onProgress: (done, total) => console.log(`${done} of ${total}`) });
   */
  async replay(group: string, options: ReplayDeadLettersOptions = {}): Promise<number> {
    assertValid(REPLAY_SHAPE, options, '');
    const { ids, limit, onProgress, signal } = options;
    const stop = new AbortController();
    const failures: unknown[] = [];
    const progress = (replayed: number, total: number): void => {
      if (failures.length > 0) return;
      try {
        onProgress?.(replayed, total);
      } catch (error) {
        failures.push(error);
        stop.abort();
      }
    };
    const replayed = await this.deadLetters.replay(this.name(group), {
      ...(ids && { ids }),
      ...(limit !== undefined && { limit }),
      ...(onProgress && { onProgress: progress }),
      signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
    });
    if (failures.length > 0) throw failures[0];
    return replayed;
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
      ...this.payload(message),
      error: failure ?? { name: 'DeadLetter', message: `No error is known; the reason is "${reason}".` },
      ...(firstFailedAt !== undefined && { firstFailedAt }),
      ...(lastFailedAt !== undefined && { lastFailedAt }),
    };
  }

  /** As a handler would get it. */
  private payload(message: Message): { readonly payload?: unknown } {
    try {
      return { payload: this.decoder.decode(message) };
    } catch {
      return {}; // that it cannot be decoded is often why it is here; the bytes are in `body`
    }
  }
}
