import type { ConsumeMessage } from 'amqplib';
import {
  chooseLetters,
  type DeadLetterEntry,
  noQueueToReplayTo,
  oldestFirst,
  toReplayed,
} from '../../core/dead-letters.js';
import { withDeadline } from '../../core/deadline.js';
import { Described } from '../../core/described.js';
import { BusClosedError, ConnectionError, DeadLettersBusyError, DecodeError } from '../../core/errors.js';
import { LIMITS } from '../../core/limits.js';
import type { DeadLetterQuery, DeadLetterRecord, DeadLetters } from '../../core/transport.js';
import { accessRefused, type ChannelError } from './rabbitmq.channel.js';
import type { RabbitMqConnection } from './rabbitmq.connection.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';
import { toDeadLetter } from './rabbitmq.dead-letter.codec.js';
import { deadLetterQueue, NAME_BYTES } from './rabbitmq.group-queues.js';
import { type Batch, RabbitMqLetterQueue } from './rabbitmq.letter-queue.js';
import { isUnreadable } from './rabbitmq.link-failure.js';
import { isLocked, lock } from './rabbitmq.lock.js';
import { isMissing, look } from './rabbitmq.queue-state.js';

/** Copies that are on their way at one time, so that whoever stops a replay does not come too late. */
const AT_ONCE = 100;

/** How long one reader waits for another. */
const BUSY_MS = 10_000;
const NO_LETTERS = Object.freeze({ messages: 0, consumers: 0 });

type Work<T> = (queue: RabbitMqLetterQueue) => Promise<T>;

interface Entry extends DeadLetterEntry {
  /** As on the wire. */
  readonly messageId: unknown;
}

/** What a look at the oldest letters has found, in the order of the queue. */
interface Scan {
  readonly entries: readonly Entry[];
  /** By place. */
  readonly kept: ReadonlyMap<number, DeadLetterRecord>;
}

/**
 * A quorum queue puts what is given back behind what was given back before, so that a reader which dies disturbs its order. So
 * whoever asks for some letters looks at all that could be meant, in order of their failures, and lets the others go at once.
 */
export class RabbitMqDeadLetters extends Described implements DeadLetters {
  /** The last reader of each group. */
  private readonly last = new Map<string, Promise<unknown>>();
  private readonly running = new Set<Promise<unknown>>();
  private readonly stop = new AbortController();

  constructor(
    private readonly connection: RabbitMqConnection,
    private readonly copies: RabbitMqCopies,
  ) {
    super();
  }

  override toJSON(): unknown {
    return { endpoint: this.connection.endpoint };
  }

  list(group: string, limit: number, offset = 0): Promise<readonly DeadLetterRecord[]> {
    return this.read<readonly DeadLetterRecord[]>(group, [], async (queue) => {
      const { entries, kept } = await this.scan(queue, (place) => place >= offset && place < offset + limit);
      const asked = oldestFirst(entries).slice(offset, offset + limit);
      const isAsked = new Set(asked);
      const isAll = asked.every((place) => kept.has(place));
      const letters = isAll ? kept : (await this.scan(queue, (place) => isAsked.has(place))).kept;
      return asked.flatMap((place) => letters.get(place) ?? []);
    });
  }

  async count(group: string): Promise<number> {
    const { connection } = this.connection.consume;
    if (!connection) throw new ConnectionError('The dead letters cannot be counted: not connected to the broker.');
    const name = deadLetterQueue(group);
    if (!isName(name)) return 0;
    const { messages, consumers } = (await look(connection, name)) ?? NO_LETTERS;
    // what a reader holds is not counted, so it is waited for
    return consumers === 0 ? messages : this.read(group, 0, (queue) => queue.size());
  }

  async replay(group: string, { ids, limit, onProgress, signal }: DeadLetterQuery): Promise<number> {
    let replayed = 0;
    const work = async (queue: RabbitMqLetterQueue): Promise<void> => {
      const chosen = ids || limit !== undefined ? await this.choose(queue, { ids, limit }) : undefined;
      const size = await queue.size();
      const total = chosen?.size ?? size;
      const isMeant = ({ properties }: ConsumeMessage, place: number): boolean => {
        const entry = chosen?.get(place);
        return chosen === undefined || (entry !== undefined && entry.messageId === properties.messageId);
      };
      const done = (): void => {
        replayed++;
        onProgress?.(replayed, total);
      };
      // all that were looked at, so that those that stay go back in their order
      const end = chosen ? Math.min(size, LIMITS.deadLetters) : size;
      if (total > 0 && !signal?.aborted) {
        await queue.read(end, async (batch) => {
          this.stop.signal.throwIfAborted();
          const letters = batch.letters.filter((letter, i) => isMeant(letter, batch.first + i));
          await this.giveBack(group, { ...batch, letters }, done, signal);
          return !signal?.aborted;
        });
      }
    };
    // also when somebody has removed the queue meanwhile
    await this.read(group, undefined, work, () => `; ${replayed} before it were replayed`);
    return replayed;
  }

  /** Makes the dead letters of one group those of another, with all that is written beside them. @returns how many */
  async move(group: string, to: string): Promise<number> {
    let moved = 0;
    await this.read(group, undefined, async (queue) => {
      await queue.read(await queue.size(), async ({ letters, lost, remove }) => {
        this.stop.signal.throwIfAborted();
        await forAll(letters, this.stop.signal, async (letter) => {
          const { message, attempts: attempt, ...state } = toDeadLetter(letter);
          await this.copies.bury(to, message, { attempt, ...state }, { declareMode: undefined, lost });
          remove(letter);
          moved++;
        });
        return true;
      });
    });
    return moved;
  }

  purge(group: string): Promise<number> {
    return this.read(group, 0, (queue) => queue.purge());
  }

  /** Whoever reads ends: a replay when what is on its way is confirmed. All by the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.stop.abort(new BusClosedError('read dead letters'));
    const ended = Promise.allSettled(this.running);
    // then they end with their connections
    await withDeadline(ended, deadlineMs, () => new ConnectionError('late')).catch(() => undefined);
  }

  private async scan(queue: RabbitMqLetterQueue, isKept: (place: number) => boolean): Promise<Scan> {
    const entries: Entry[] = [];
    const kept = new Map<number, DeadLetterRecord>();
    const count = Math.min(await queue.size(), LIMITS.deadLetters);
    const show = (letter: ConsumeMessage): void => {
      const record = toDeadLetter(letter);
      const { messageId } = letter.properties as { readonly messageId: unknown };
      if (isKept(entries.length)) kept.set(entries.length, record);
      entries.push({ id: record.message.id, lastFailedAt: record.lastFailedAt, messageId });
    };
    if (count > 0) await queue.look(count, show, this.stop.signal);
    return { entries, kept };
  }

  /** Those that a query means, by place. */
  private async choose(
    queue: RabbitMqLetterQueue,
    query: Pick<DeadLetterQuery, 'ids' | 'limit'>,
  ): Promise<ReadonlyMap<number, Entry>> {
    const { entries } = await this.scan(queue, () => false);
    const chosen = new Map<number, Entry>();
    for (const place of chooseLetters(entries, query)) {
      const entry = entries[place];
      if (entry) chosen.set(place, entry);
    }
    return chosen;
  }

  /** Each is removed when it is confirmed there. */
  private async giveBack(
    group: string,
    { letters, lost, remove }: Batch,
    done: () => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const stop = signal ? AbortSignal.any([signal, this.stop.signal]) : this.stop.signal;
    await forAll(letters, stop, async (letter) => {
      const message = toReplayed(toDeadLetter(letter).message);
      if (!(await this.copies.giveBack(group, message, lost))) throw noQueueToReplayTo(group);
      remove(letter);
      done();
    });
  }

  /**
   * On a connection of its own, because what killed a consumer's connection ends here and would kill this one too; it also
   * holds the lock. @param none what there is when the queue is missing, for a group that never had a dead letter
   */
  private async read<T>(group: string, none: T, work: Work<T>, done?: () => string): Promise<T> {
    this.stop.signal.throwIfAborted();
    if (!isName(deadLetterQueue(group))) return none;
    const before = this.last.get(group);
    const mine = this.inTurn(group, before, work).catch(nothing(none));
    this.last.set(group, mine);
    this.running.add(mine);
    try {
      return await mine;
    } catch (error) {
      throw toReadError(error, group, done?.() ?? '');
    } finally {
      this.running.delete(mine);
      if (this.last.get(group) === mine) this.last.delete(group);
    }
  }

  /** After the other readers of this process, and those of others. */
  private async inTurn<T>(group: string, before: Promise<unknown> | undefined, work: Work<T>): Promise<T> {
    const end = Date.now() + BUSY_MS;
    const busy = (): Error => new DeadLettersBusyError(group, BUSY_MS);
    if (before) await withDeadline(Promise.allSettled([before]), BUSY_MS, busy);
    this.stop.signal.throwIfAborted();
    const name = deadLetterQueue(group);
    return this.connection.apart('dead letters', async (connection) => {
      try {
        await lock(connection, readerQueue(name), { until: end, signal: this.stop.signal });
      } catch (error) {
        this.stop.signal.throwIfAborted();
        if (isLocked(error)) throw busy();
        // who may declare nothing can still read; then two at once see a part each, and neither loses any
        if ((error as ChannelError).code !== 403) throw error;
      }
      this.stop.signal.throwIfAborted();
      return work(new RabbitMqLetterQueue(connection, name));
    });
  }
}

/** For a queue that does not exist. */
function nothing<T>(none: T): (error: unknown) => T {
  return (error) => {
    if (isMissing(error)) return none;
    throw error;
  };
}

/** The lock of whoever reads a queue. */
function readerQueue(queue: string): string {
  return `${queue}.reader`;
}

/** No group has one that leaves no room for that of the lock. */
function isName(queue: string): boolean {
  return Buffer.byteLength(readerQueue(queue)) <= NAME_BYTES;
}

/** The driver could not read a letter: then it lost the connection, and the rest is beyond reach. */
function toReadError(error: unknown, group: string, done: string): unknown {
  const cause = error as ChannelError;
  if (cause.code === 403) return accessRefused(`read or remove the dead letters of "${group}"`, cause);
  if (!(error instanceof ConnectionError) || !isUnreadable(error.cause)) return error;
  return new DecodeError(
    `A dead letter of "${group}" has headers that cannot be read${done}. Remove it with another client, or purge the dead letters.`,
    { cause: error },
  );
}

/**
 * Some at a time, in order, until `signal` aborts or one fails: then those that have begun are waited for.
 *
 * @throws the first failure
 */
async function forAll<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values();
  const failures: unknown[] = [];
  const next = async (): Promise<void> => {
    for (const item of waiting) {
      try {
        await work(item);
      } catch (error) {
        failures.push(error);
      }
      if (failures.length > 0 || signal?.aborted) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, next));
  if (failures.length > 0) throw failures[0];
}
