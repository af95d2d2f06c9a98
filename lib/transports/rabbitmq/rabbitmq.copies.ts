import type { ChannelModel } from 'amqplib';
import { ConnectionError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { CopyState } from './rabbitmq.codec.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import type { RabbitMqPublisher } from './rabbitmq.publisher.js';
import { deadLetterQueue, declareDeadLetterQueue, declareRetryQueue, retryQueue } from './rabbitmq.topology.js';

/** Copies that stay with one group: to a retry queue, to the dead letters, back to the group. Confirmed, or they throw. */
export class RabbitMqCopies {
  private readonly declared = new Set<string>();

  constructor(
    private readonly link: RabbitMqLink,
    private readonly publisher: RabbitMqPublisher,
  ) {}

  async retry(group: string, delayMs: number, message: Message, state: CopyState): Promise<void> {
    const declare = (connection: ChannelModel): Promise<void> => declareRetryQueue(connection, group, delayMs);
    await this.put(retryQueue(group, delayMs), message, state, declare);
  }

  async bury(group: string, message: Message, state: CopyState): Promise<void> {
    const declare = (connection: ChannelModel): Promise<void> => declareDeadLetterQueue(connection, group);
    await this.put(deadLetterQueue(group), message, state, declare);
  }

  /** @returns false when the group has no queue */
  giveBack(group: string, message: Message): Promise<boolean> {
    return this.publisher.copy(group, message, { attempt: 1 });
  }

  /** Declares a queue before its first copy, and again if it has been deleted since. */
  private async put(
    queue: string,
    message: Message,
    state: CopyState,
    declare: (connection: ChannelModel) => Promise<void>,
  ): Promise<void> {
    for (let tries = 0; tries < 2; tries++) {
      if (!this.declared.has(queue)) {
        const { connection } = this.link;
        if (!connection) throw new ConnectionError(`"${queue}" cannot be declared: not connected.`);
        await declare(connection);
        this.declared.add(queue);
      }
      if (await this.publisher.copy(queue, message, state)) return;
      this.declared.delete(queue);
    }
    throw new ConnectionError(`"${queue}" is deleted as fast as it is declared.`);
  }
}
