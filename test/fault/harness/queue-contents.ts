import { connect } from 'amqplib';

export interface QueueContents {
  readonly left: ReadonlySet<string>;
  readonly dead: ReadonlySet<string>;
}

/**
 * Empties the queues of a group with a plain client, when nobody consumes any more. The ids are those of the messages;
 * retry queues are those of the delays given.
 */
export async function drainQueues(
  url: string,
  group: string,
  retryDelaysMs: readonly number[] = [],
): Promise<QueueContents> {
  const connection = await connect(url, { timeout: 5_000 });
  try {
    const channel = await connection.createChannel();
    const drain = async (queue: string, ids: Set<string>): Promise<void> => {
      for (;;) {
        const message = await channel.get(queue, { noAck: true });
        if (message === false) return;
        ids.add(String(message.properties.messageId));
      }
    };
    const [left, dead] = [new Set<string>(), new Set<string>()];
    for (const delay of retryDelaysMs) await drain(`${group}.retry.${delay}`, left);
    await drain(group, left);
    await drain(`${group}.dlq`, dead);
    return { left, dead };
  } finally {
    await connection.close();
  }
}
