import { type Channel, connect } from 'amqplib';

/** What an operator does: on a connection of its own, with a plain client. */
export async function byHand<T>(url: string, work: (channel: Channel) => Promise<T>): Promise<T> {
  const connection = await connect(url, { timeout: 5_000 });
  try {
    const channel = await connection.createChannel();
    // what the broker refuses is rejected where it was asked for
    channel.on('error', () => undefined);
    return await work(channel);
  } finally {
    await connection.close();
  }
}

/** Messages that wait in a queue; those that a consumer holds do not count. */
export function waitingIn(url: string, queue: string): Promise<number> {
  return byHand(url, async (channel) => (await channel.checkQueue(queue)).messageCount);
}
