import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { ConfigurationError, ConnectionError } from '../../core/errors.js';
import type { DeadLetterQuery, DeadLetterRecord, DeadLetters } from '../../core/transport.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';
import { toDeadLetter } from './rabbitmq.codec.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { deadLetterQueue } from './rabbitmq.topology.js';

/**
 * A quorum queue puts what is given back behind what was given back before. So that the order stays, a reader takes all
 * letters, up to so many, and keeps those that it was asked for.
 */
const SCAN = 10_000;

/** How long is waited for a queue to take back what was only read. */
const GIVE_BACK_MS = 2_000;

/** Reads a dead-letter queue by taking without acknowledging: what is not removed goes back when the channel closes. */
export class RabbitMqDeadLetters implements DeadLetters {
  private readonly readers = new Map<string, Promise<void>>();

  constructor(
    private readonly link: RabbitMqLink,
    private readonly copies: RabbitMqCopies,
  ) {}

  async list(group: string, limit: number): Promise<readonly DeadLetterRecord[]> {
    const letters: DeadLetterRecord[] = [];
    await this.withQueue(group, async (channel, queue) => {
      const { messageCount } = await rpc(channel.checkQueue(queue), `count "${queue}"`);
      for await (const message of take(channel, queue, Math.max(limit, Math.min(messageCount, SCAN)))) {
        if (letters.length < limit) letters.push(toDeadLetter(message));
      }
      await this.giveBack(channel, queue, messageCount);
    });
    return letters;
  }

  async count(group: string): Promise<number> {
    let count = 0;
    await this.withQueue(group, async (channel, queue) => {
      count = (await rpc(channel.checkQueue(queue), `count "${queue}"`)).messageCount;
    });
    return count;
  }

  async replay(group: string, { ids, limit = Number.POSITIVE_INFINITY }: DeadLetterQuery): Promise<number> {
    let replayed = 0;
    await this.withQueue(group, async (channel, queue) => {
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
      await this.giveBack(channel, queue, messageCount - replayed);
    });
    return replayed;
  }

  async purge(group: string): Promise<number> {
    let purged = 0;
    await this.withQueue(group, async (channel, queue) => {
      purged = (await rpc(channel.purgeQueue(queue), `purge "${queue}"`)).messageCount;
    });
    return purged;
  }

  /** One reader of a queue at a time: what one holds another cannot see. */
  private withQueue(group: string, work: (channel: Channel, queue: string) => Promise<void>): Promise<void> {
    const before = this.readers.get(group) ?? Promise.resolve();
    const mine = before.then(
      () => this.open(group, work),
      () => this.open(group, work),
    );
    this.readers.set(group, mine);
    const forget = (): void => {
      if (this.readers.get(group) === mine) this.readers.delete(group);
    };
    mine.then(forget, forget);
    return mine;
  }

  /** A group that never had a dead letter may have no queue for them: then there is nothing to do. */
  private async open(group: string, work: (channel: Channel, queue: string) => Promise<void>): Promise<void> {
    const connection: ChannelModel | undefined = this.link.connection;
    if (!connection) throw new ConnectionError('The dead letters cannot be read: not connected to the broker.');
    const queue = deadLetterQueue(group);
    try {
      await withChannel(connection, (channel) => work(channel, queue));
    } catch (error) {
      if ((error as ChannelError).code !== 404) throw error;
    }
  }

  /** Resolves when what was taken can be seen again: a quorum queue takes it back some time after the channel closed. */
  private async giveBack(channel: Channel, queue: string, expected: number): Promise<void> {
    await rpc(channel.close(), 'give dead letters back');
    const { connection } = this.link;
    if (!connection) return;
    await withChannel(connection, async (other) => {
      const end = Date.now() + GIVE_BACK_MS;
      while (Date.now() < end) {
        const { messageCount } = await rpc(other.checkQueue(queue), `count "${queue}"`);
        if (messageCount >= expected) return;
        await pause(5);
      }
    });
  }
}

async function* take(channel: Channel, queue: string, limit: number): AsyncGenerator<GetMessage> {
  for (let i = 0; i < limit; i++) {
    const message = await rpc(channel.get(queue), `read "${queue}"`);
    if (message === false) return;
    yield message;
  }
}
