import type { Message as AmqpMessage } from 'amqplib';
import type { Message } from '../../core/message.js';
import type { Returned } from '../../core/transport.js';
import { messageIdOf } from './rabbitmq.codec.js';
import { type AmqpTarget, exchangeName, routingKeyOf } from './rabbitmq.target.js';

/** A message that the broker could put into no queue, and gives back: basic.return. */
export class RabbitMqReturn {
  readonly reply: Returned;
  private readonly id: unknown;
  private readonly exchange: unknown;
  private readonly routingKey: unknown;

  constructor({ properties, fields }: AmqpMessage) {
    // which the types of the driver take for a delivery
    const { exchange, routingKey, replyCode, replyText } = fields as unknown as Readonly<Record<string, unknown>>;
    this.id = properties.messageId;
    this.exchange = exchange;
    this.routingKey = routingKey;
    this.reply = { code: Number(replyCode), text: String(replyText) };
  }

  /** Copies of one message can be on their way to several queues. */
  isOf(target: AmqpTarget, message: Message): boolean {
    return (
      messageIdOf(message) === this.id &&
      exchangeName(target) === this.exchange &&
      routingKeyOf(target, message) === this.routingKey
    );
  }
}
