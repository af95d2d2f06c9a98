import { connect } from 'amqplib';

/** Deletes what the buses of this sample have declared: its namespace is a new one each time. */
export async function removeBench(url: string, namespace: string): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createChannel();
    const queues = ['bench.command.tests.run', 'bench.command.tests.run.dlq', 'bench.groups.worker'];
    for (const queue of queues) await channel.deleteQueue(`${namespace}.${queue}`);
    for (const suffix of ['', '.broadcast', '.control']) await channel.deleteExchange(`${namespace}.bench${suffix}`);
  } finally {
    await connection.close();
  }
}
