import type { ChannelModel } from 'amqplib';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';

/** How a queue is. */
export interface QueueState {
  /** Those that nobody holds. */
  readonly messages: number;
  readonly consumers: number;
}

/** How a queue is, or undefined when there is none. */
export async function look(connection: ChannelModel, queue: string): Promise<QueueState | undefined> {
  try {
    return await withChannel(connection, async (channel) => {
      const { messageCount, consumerCount } = await rpc(channel.checkQueue(queue), `look at "${queue}"`);
      return { messages: messageCount, consumers: consumerCount };
    });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether there is no such queue. Code 404 is also said of a queue whose node is down, which is not gone. */
export function isMissing(error: unknown): boolean {
  const { code, message } = error as ChannelError;
  return code === 404 && message.includes('no queue');
}
