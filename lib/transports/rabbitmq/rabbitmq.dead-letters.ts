import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { Described } from '../../core/described.js';
import { ConfigurationError, ConnectionError, DecodeError } from '../../core/errors.js';
import type { DeadLetterQuery, DeadLetterRecord, DeadLetters } from '../../core/transport.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';
import { toDeadLetter } from './rabbitmq.codec.js';
import type { RabbitMqConnection } from './rabbitmq.connection.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';
import { deadLetterQueue } from './rabbitmq.group-queues.js';
import { isUnreadable } from './rabbitmq.link-failure.js';

/**
 * A quorum queue puts what is given back behind what was given back before. So that the order stays, a reader takes all
 * letters, up to so many, and keeps those that it was asked for.
 */
const SCAN = 10_000;

/** How long is waited for a queue to take back what was only read. */
const GIVE_BACK_MS = 2_000;

type Work = (channel: Channel, queue: string, connection: ChannelModel) => Promise<void>;

/** Reads a dead-letter queue by taking without acknowledging: what is not removed goes back when the channel closes. */
export class RabbitMqDeadLetters extends Described implements DeadLetters {
  private readonly readers = new Map<string, Promise<void>>();

  constructor(
    private readonly connection: RabbitMqConnection,
    private readonly copies: RabbitMqCopies,
  ) {
    super();
  }

  override toJSON(): unknown {
    return { endpoint: this.connection.endpoint };
  }

  async list(group: string, limit: number): Promise<readonly DeadLetterRecord[]> {
    const letters: DeadLetterRecord[] = [];
    await this.read(group, async (channel, queue, other) => {
      const { messageCount } = await rpc(channel.checkQueue(queue), `count "${queue}"`);
      for await (const message of take(channel, queue, Math.max(limit, Math.min(messageCount, SCAN)))) {
        if (letters.length < limit) letters.push(toDeadLetter(message));
      }
      await giveBack(channel, other, queue, messageCount);
    }).catch((error: unknown) => {
      throw toReadError(error, group, '');
    });
    return letters;
  }

  async count(group: string): Promise<number> {
    let count = 0;
    await this.ask(group, async (channel, queue) => {
      count = (await rpc(channel.checkQueue(queue), `count "${queue}"`)).messageCount;
    });
    return count;
  }

  async replay(group: string, { ids, limit = Number.POSITIVE_INFINITY }: DeadLetterQuery): Promise<number> {
    let replayed = 0;
    await this.read(group, async (channel, queue, other) => {
      const { messageCount } = await rpc(channel.checkQueue(queue), `count "${queue}"`);
      for await (const message of take(channel, queue, Math.min(messageCount, SCAN))) {
        const letter = toDeadLetter(message);
        if (replayed >= limit || (ids && !ids.includes(letter.message.id))) continue;
        if (!(await this.copies.giveBack(group, letter.message))) {
          throw new ConfigurationError(
            `Group "${group}" has no queue to replay to. Start its consumer once, so that it is declared.`,
          );
        }
        channel.ack(message);
        replayed++;
      }
      await giveBack(channel, other, queue, messageCount - replayed);
    }).catch((error: unknown) => {
      throw toReadError(error, group, `; ${replayed} before it were replayed`);
    });
    return replayed;
  }

  /** Makes the dead letters of one group those of another, with all that is written beside them. @returns how many */
  async move(group: string, to: string): Promise<number> {
    let moved = 0;
    await this.read(group, async (channel, queue) => {
      const { messageCount } = await rpc(channel.checkQueue(queue), `count "${queue}"`);
      const { signal: lost } = new AbortController();
      for await (const message of take(channel, queue, Math.min(messageCount, SCAN))) {
        const { message: letter, attempts: attempt, ...state } = toDeadLetter(message);
        await this.copies.bury(to, letter, { attempt, ...state }, { declareMode: undefined, lost });
        channel.ack(message);
        moved++;
      }
      await rpc(channel.checkQueue(queue), `move "${queue}"`);
    });
    return moved;
  }

  async purge(group: string): Promise<number> {
    let purged = 0;
    await this.ask(group, async (channel, queue) => {
      purged = (await rpc(channel.purgeQueue(queue), `purge "${queue}"`)).messageCount;
    });
    return purged;
  }

  /**
   * On a connection of its own, because what killed a consumer's connection ends here and would kill this one too. One
   * reader of a queue at a time: what one holds another cannot see.
   */
  private read(group: string, work: Work): Promise<void> {
    const open = (): Promise<void> =>
      this.connection.apart('dead letters', (connection) => onQueue(connection, group, work));
    const mine = (this.readers.get(group) ?? Promise.resolve()).then(open, open);
    this.readers.set(group, mine);
    const forget = (): void => {
      if (this.readers.get(group) === mine) this.readers.delete(group);
    };
    mine.then(forget, forget);
    return mine;
  }

  /** What brings no message can use the connection that is there. */
  private async ask(group: string, work: Work): Promise<void> {
    await this.readers.get(group)?.catch(() => undefined); // its caller hears of it
    const { connection } = this.connection.consume;
    if (!connection) throw new ConnectionError('The dead letters cannot be read: not connected to the broker.');
    await onQueue(connection, group, work);
  }
}

/** A group that never had a dead letter may have no queue for them: then there is nothing to do. */
async function onQueue(connection: ChannelModel, group: string, work: Work): Promise<void> {
  try {
    await withChannel(connection, (channel) => work(channel, deadLetterQueue(group), connection));
  } catch (error) {
    if ((error as ChannelError).code !== 404) throw error;
  }
}

/** Resolves when what was taken can be seen again: a quorum queue takes it back some time after the channel closed. */
async function giveBack(channel: Channel, connection: ChannelModel, queue: string, expected: number): Promise<void> {
  await rpc(channel.close(), 'give dead letters back');
  await withChannel(connection, async (other) => {
    const end = Date.now() + GIVE_BACK_MS;
    while (Date.now() < end) {
      const { messageCount } = await rpc(other.checkQueue(queue), `count "${queue}"`);
      if (messageCount >= expected) return;
      await pause(5);
    }
  });
}

/** The driver could not read a letter: then it lost the connection, and the rest is beyond reach. */
function toReadError(error: unknown, group: string, done: string): unknown {
  if (!(error instanceof ConnectionError) || !isUnreadable(error.cause)) return error;
  return new DecodeError(
    `A dead letter of "${group}" has headers that cannot be read${done}. Remove it with another client, or purge the dead letters.`,
    { cause: error },
  );
}

async function* take(channel: Channel, queue: string, limit: number): AsyncGenerator<GetMessage> {
  for (let i = 0; i < limit; i++) {
    const message = await rpc(channel.get(queue), `read "${queue}"`);
    if (message === false) return;
    yield message;
  }
}
