import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { type Batch, RabbitMqLetterQueue } from '../../../../lib/transports/rabbitmq/rabbitmq.letter-queue.js';

const MIB = 1_048_576;

/** As many letters as there are sizes, on a connection that hands them out as a broker does. */
class FakeQueue {
  /** How many each consumer asked for. */
  readonly taken: number[] = [];
  /** Handed out and not acknowledged. */
  held = 0;
  private next = 0;

  constructor(private readonly sizes: readonly number[]) {}

  get connection(): ChannelModel {
    return { createChannel: async () => this.channel() } as unknown as ChannelModel;
  }

  private channel(): unknown {
    let prefetch = 0;
    const channel = Object.assign(new EventEmitter(), {
      checkQueue: async () => ({ messageCount: this.sizes.length - this.next, consumerCount: 0 }),
      prefetch: async (count: number) => {
        prefetch = count;
      },
      consume: async (_: string, onLetter: (letter: ConsumeMessage) => void, options: { consumerTag: string }) => {
        this.taken.push(prefetch);
        for (let i = 0; i < prefetch && this.next < this.sizes.length; i++) {
          this.held++;
          onLetter({ content: { byteLength: this.sizes[this.next++] } } as ConsumeMessage);
        }
        return options;
      },
      ack: () => {
        this.held--;
      },
      cancel: async () => undefined,
      get: async () => false,
      close: async () => void channel.emit('close'),
    });
    return channel;
  }
}

const removeAll = ({ letters, remove }: Batch): boolean => {
  letters.forEach(remove);
  return true;
};

describe('RabbitMqLetterQueue', () => {
  it('shows any number of letters as they come, all of one consumer, whose order the broker keeps', async () => {
    const queue = new FakeQueue(Array.from({ length: 10_000 }, () => MIB));
    let shown = 0;
    const show = (): void => {
      shown++;
      expect(queue.held).toBe(shown);
    };
    const letters = new RabbitMqLetterQueue(queue.connection, 'dead');
    await letters.look(9_000, show, new AbortController().signal);
    expect(shown).toBe(9_000);
    expect(queue.taken).toEqual([9_000]);
  });

  it('ends to show letters when that is not wanted any more', async () => {
    const queue = new FakeQueue([1, 1]);
    const letters = new RabbitMqLetterQueue(queue.connection, 'dead');
    const over = AbortSignal.abort(new RangeError('closed'));
    await expect(letters.look(2, () => undefined, over)).rejects.toEqual(new RangeError('closed'));
  });

  it('takes few of the large letters at one time, and many of the small ones', async () => {
    const sizes = [...Array.from({ length: 100 }, () => MIB), ...Array.from({ length: 2_000 }, () => 1_000)];
    const queue = new FakeQueue(sizes);
    await new RabbitMqLetterQueue(queue.connection, 'dead').read(sizes.length, removeAll);
    // 32 MiB of them; the last of these batches has no large letter any more
    expect(queue.taken).toEqual([50, 32, 32, 32, 500, 500, 500, 454]);
    expect(queue.held).toBe(0);
  });

  it('takes one at a time of the largest, and goes on', async () => {
    const queue = new FakeQueue(Array.from({ length: 53 }, () => 100 * MIB));
    await new RabbitMqLetterQueue(queue.connection, 'dead').read(53, removeAll);
    expect(queue.taken).toEqual([50, 1, 1, 1]);
  });

  it('keeps the consumers few whose letters stay, for of more than 32 the broker forgets the order', async () => {
    const queue = new FakeQueue(Array.from({ length: 10_000 }, () => MIB));
    const removeSome = ({ letters, first, remove }: Batch): boolean => {
      letters.slice(first % 1_000 === 0 ? 0 : 1).forEach(remove);
      return true;
    };
    await new RabbitMqLetterQueue(queue.connection, 'dead').read(10_000, removeSome);
    expect(queue.taken.length).toBeLessThanOrEqual(32);
  });

  it('takes no more when that is enough', async () => {
    const queue = new FakeQueue(Array.from({ length: 200 }, () => 1));
    await new RabbitMqLetterQueue(queue.connection, 'dead').read(200, () => false);
    expect(queue.taken).toEqual([50]);
  });
});
