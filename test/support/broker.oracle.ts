import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import type { BindingRule, ExchangeHandler, Routable } from '../../lib/core/exchange.js';
import { createMessage } from '../../lib/testing/contract/message.factory.js';
import { toProperties } from '../../lib/transports/rabbitmq/rabbitmq.codec.js';
import { bindingKey } from '../../lib/transports/rabbitmq/rabbitmq.topology.js';

/** What a broker did with each message. */
export interface OracleAnswers {
  /** `reached[rule][message]`: how many copies came to the queue that is bound by this rule alone. */
  readonly reached: readonly Uint8Array[];
  /** By message: whether the broker gave it back, as it had no queue for it. */
  readonly returned: readonly boolean[];
}

const LAST = 'last';

/** Binds a queue by each rule, publishes each message, and looks where it came. Nothing stays at the broker. */
export async function askBroker(
  url: string,
  handler: ExchangeHandler,
  rules: readonly BindingRule[],
  messages: readonly Routable[],
): Promise<OracleAnswers> {
  const name = `oracle-${randomUUID().slice(0, 8)}`;
  const connection = await connect(url);
  try {
    const channel = await connection.createConfirmChannel();
    // it goes with its last queue, and the queues with their connection
    await channel.assertExchange(name, handler.type, { durable: false, autoDelete: true });
    const reached = rules.map(() => new Uint8Array(messages.length));
    const returned = messages.map(() => false);
    channel.on('return', ({ properties }) => {
      returned[Number(properties.messageId)] = true;
    });
    const queues = await Promise.all(
      rules.map(async (rule, i) => {
        const { queue } = await channel.assertQueue('', { exclusive: true });
        const { key, args } = bindingKey({ ...rule, exchange: { name, handler } });
        await channel.bindQueue(queue, name, key, args);
        let resolve = (): void => undefined;
        const end = new Promise<void>((done) => {
          resolve = done;
        });
        const seen = reached[i] ?? new Uint8Array();
        await channel.consume(
          queue,
          (delivery) => {
            const id: unknown = delivery?.properties.messageId;
            if (id === LAST) resolve();
            else seen[Number(id)] = (seen[Number(id)] ?? 0) + 1;
          },
          { noAck: true },
        );
        return { queue, end };
      }),
    );
    for (const [i, { topic, headers }] of messages.entries()) {
      const properties = toProperties(createMessage(topic, { id: String(i), headers }));
      channel.publish(name, topic, Buffer.alloc(0), { ...properties, persistent: false });
    }
    await channel.waitForConfirms();
    // queues keep the order: when this comes, all others have come
    for (const { queue } of queues) channel.publish('', queue, Buffer.alloc(0), { messageId: LAST });
    await Promise.all(queues.map(({ end }) => end));
    return { reached, returned };
  } finally {
    await connection.close();
  }
}
