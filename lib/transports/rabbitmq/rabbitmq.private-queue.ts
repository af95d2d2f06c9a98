import type { ChannelModel } from 'amqplib';
import { rpc, withChannel } from './rabbitmq.channel.js';

/** A queue of one consumer alone. It goes with its connection, but not with its channel: then it would fill up unread. */
export class RabbitMqPrivateQueue {
  constructor(
    readonly name: string,
    private readonly connection: ChannelModel,
  ) {}

  /** Deletes it, if its connection is the present one. Harmless when there is none of that name. */
  async drop(present: ChannelModel | undefined, ms?: number): Promise<void> {
    if (this.connection !== present) return;
    const deleted = withChannel(this.connection, (channel) => channel.deleteQueue(this.name));
    await rpc(deleted, `delete "${this.name}"`, ms);
  }
}
