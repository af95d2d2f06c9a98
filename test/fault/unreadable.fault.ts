import 'reflect-metadata';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { connect } from 'amqplib';
import { DeadLetterService, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

const DEPTH = 8_000;
const PLACEHOLDER = Buffer.alloc(7 * DEPTH, 'P');

/** Tables in tables, as they stand on the wire: the broker stores them, and the driver's decoder runs out of stack. */
function nestedTable(): Buffer {
  const bytes = Buffer.alloc(7 * DEPTH);
  for (let level = 0; level < DEPTH; level++) {
    const at = 7 * level;
    bytes.write('\u0001aF', at, 'latin1');
    bytes.writeUInt32BE(7 * (DEPTH - level - 1), at + 3);
  }
  return bytes;
}

/** The driver cannot write such headers either: a text of the same length is exchanged on its way to the socket. */
async function publishUnreadable(lab: Lab, topic: string): Promise<void> {
  const connection = await connect(RABBITMQ.url);
  const { stream } = connection.connection as unknown as { readonly stream: Socket };
  const write = stream.write.bind(stream) as (chunk: Buffer) => boolean;
  let exchanged = 0;
  stream.write = (chunk: Uint8Array | string) => {
    const bytes = Buffer.from(chunk as Uint8Array);
    const at = bytes.indexOf(PLACEHOLDER);
    if (at >= 0) {
      exchanged++;
      bytes.write('F', at - 5, 'latin1'); // a table where a text was
      nestedTable().copy(bytes, at);
    }
    return write(bytes);
  };
  try {
    const channel = await connection.createConfirmChannel();
    channel.publish(lab.exchange, topic, Buffer.from('1'), { headers: { x: PLACEHOLDER.toString() } });
    await channel.waitForConfirms();
    expect(exchanged).toBe(1);
  } finally {
    await connection.close();
  }
}

interface Described {
  readonly transport: { readonly consume: { readonly quarantined: number } };
}

onRabbit('a message whose headers kill the decoder', () => {
  it(
    'is kept apart: other handlers go on, its own goes on behind it, and it ends in the dead letters',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<readonly [string, unknown]>('events');
      @Injectable()
      class Orders {
        @OnEvent('orders.*', { prefetch: 5 })
        on(payload: unknown): void {
          seen.add(['orders', payload]);
        }
      }
      @Injectable()
      class Bystander {
        @OnEvent('users.*')
        on(payload: unknown): void {
          seen.add(['users', payload]);
        }
      }
      const { bus, app } = await lab.boot({ providers: [Orders, Bystander] });
      const quarantined = (): number => (bus.describe() as unknown as Described).transport.consume.quarantined;
      await publishUnreadable(lab, 'orders.bad');
      await until('it is kept apart', () => quarantined() === 1);
      const before = Date.now();
      await Promise.all([bus.publish('users.created', 1), bus.publish('orders.created', 2)]);
      await until('others go on', () => seen.items.some((item) => String(item) === 'users,1'));
      expect(Date.now() - before).toBeLessThan(2_000);
      const connectionsLost = lab.lines.filter((line) => line.startsWith('warn RabbitMQ consume connection')).length;
      const deadLetters = app.get(DeadLetterService);
      const group = `${lab.service}.Orders.on`;
      await until('the broker has given it up', async () => (await deadLetters.count(group)) === 1, 60_000);
      await until('its own handler goes on', () => seen.items.some((item) => String(item) === 'orders,2'));
      // the fault happened once to all, and then only to the one
      expect(connectionsLost).toBe(1);
      expect(lab.lines.filter((line) => line.startsWith('warn RabbitMQ consume connection'))).toHaveLength(1);
      expect(lab.lines.filter((line) => line.startsWith('error ') && line.includes('cannot be read'))).toHaveLength(1);
      await expect(deadLetters.list(group)).rejects.toMatchObject({ code: 'UNDECODABLE' });
      // reading it broke the reader's connection, and no other
      expect(bus.status).toBe('up');
      expect(await deadLetters.purge(group)).toBe(1);
      await until('it reads at full speed again', () => quarantined() === 0, 20_000);
      await bus.publish('orders.created', 3);
      await until('and handles', () => seen.items.some((item) => String(item) === 'orders,3'));
      expect(seen.items.filter(([who]) => who === 'users')).toHaveLength(1);
    }),
    100_000,
  );
});
