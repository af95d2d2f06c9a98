import type { INestApplicationContext } from '@nestjs/common';
import { type Connection, EVENT_BUS_CONNECTION, type RabbitMqRaw } from '../../../lib/index.js';

/** What was written before to the connection of the consumers of an application has arrived, and its answers too. */
export async function roundTrip(app: INestApplicationContext): Promise<void> {
  const { consume } = app.get<Connection>(EVENT_BUS_CONNECTION).raw() as RabbitMqRaw;
  const channel = await consume?.createChannel();
  await channel?.close();
}
