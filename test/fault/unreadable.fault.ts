import 'reflect-metadata';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTo, createServer, type Server } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { connect, type GetMessage } from 'amqplib';
import { type EventContext, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { guardFrames, UNREADABLE } from '../../lib/transports/rabbitmq/rabbitmq.frame-guard.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { nestedHeader, publishRaw, publishRawOn } from '../support/nested-headers.js';
import { withPort } from '../support/tcp-proxy.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** As a network may do it, and as it seldom does on one machine. */
const PIECE_BYTES = 997;

/** A way to the broker on which everything comes in small pieces. */
async function chop(target: string): Promise<Server> {
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    const broker = connectTo({ host: hostname, port: Number(port), noDelay: true });
    client.setNoDelay(true).pipe(broker);
    broker.on('data', (bytes) => {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) client.write(bytes.subarray(at, at + PIECE_BYTES));
    });
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      one.on('error', () => undefined).on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const connectionsLost = (lab: Lab): readonly string[] =>
  lab.lines.filter((line) => /connection|channel|consuming again/.test(line));

onRabbit('a message whose headers the driver cannot read', () => {
  it(
    'is one dead letter after one attempt, and nobody else sees anything of it',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<string>('events');
      @Injectable()
      class Orders {
        @OnEvent('orders.*', { prefetch: 5 })
        on(payload: unknown, { headers, attempt }: EventContext): void {
          seen.add(`orders ${String(payload)} ${JSON.stringify(headers)} ${attempt}`);
        }
      }
      @Injectable()
      class Bystander {
        @OnEvent('users.*')
        on(payload: unknown): void {
          seen.add(`users ${String(payload)}`);
        }
      }
      const { bus, deadLetters } = await lab.boot({ providers: [Orders, Bystander] });
      for (let i = 1; i <= 3; i++) {
        await publishRaw(RABBITMQ.url, lab.exchange, 'orders.bad', nestedHeader(), {
          messageId: `bad-${i}`,
          body: `${-i}`,
        });
        await Promise.all([bus.publish('users.created', i), bus.publish('orders.created', i)]);
      }
      const group = `${lab.service}.Orders.on`;
      await until('they are dead', async () => (await deadLetters.count(group)) === 3);
      await until('the others are handled', () => seen.items.length === 6);
      expect(seen.items.toSorted()).toEqual(
        [1, 2, 3].map((i) => `orders ${i} {} 1`).concat([1, 2, 3].map((i) => `users ${i}`)),
      );
      expect(connectionsLost(lab)).toEqual([]);
      const letters = await deadLetters.list(group);
      expect(letters.map(({ reason, attempts }) => [reason, attempts])).toEqual([
        ['undecodable', 1],
        ['undecodable', 1],
        ['undecodable', 1],
      ]);
      expect(JSON.stringify(letters)).toContain('headers cannot be read');
      // whoever replays it takes it without them
      expect(await deadLetters.replay(group, { ids: ['bad-2'] })).toBe(1);
      await until('it is handled', () => seen.items.includes('orders -2 {} 1'));
      expect(await deadLetters.count(group)).toBe(2);
      expect(connectionsLost(lab)).toEqual([]);
    }),
    60_000,
  );

  it(
    'in however many pieces it comes',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      @Injectable()
      class Orders {
        @OnEvent('orders.*', { prefetch: 20 })
        on(payload: unknown): void {
          seen.add(payload);
        }
      }
      const front = await chop(RABBITMQ.url);
      try {
        const transport = withPort(RABBITMQ.url, (front.address() as AddressInfo).port);
        const { bus, deadLetters, app } = await lab.boot({ options: { transport }, providers: [Orders] });
        for (let i = 0; i < 5; i++) {
          await publishRaw(RABBITMQ.url, lab.exchange, 'orders.bad', nestedHeader(7_500 + 400 * i));
          await bus.publish('orders.created', i);
        }
        await until('the others are handled', () => seen.items.length === 5);
        await until('they are dead', async () => (await deadLetters.count(`${lab.service}.Orders.on`)) === 5);
        expect(connectionsLost(lab)).toEqual([]);
        await app.close();
      } finally {
        front.close();
      }
    }),
    60_000,
  );

  it(
    'can be read among the dead letters, where somebody else has put it',
    withLab(RABBITMQ.url, async (lab) => {
      @Injectable()
      class Orders {
        @OnEvent('orders.*', { retry: false })
        on(): never {
          throw new Error('no');
        }
      }
      const { bus, deadLetters } = await lab.boot({ providers: [Orders] });
      const group = `${lab.service}.Orders.on`;
      await bus.publish('orders.created', 1);
      await until('one is dead', async () => (await deadLetters.count(group)) === 1);
      await publishRaw(RABBITMQ.url, '', `${group}.dlq`, nestedHeader(), { messageId: 'bad' });
      await bus.publish('orders.created', 2);
      await until('three are dead', async () => (await deadLetters.count(group)) === 3);
      const letters = await deadLetters.list(group);
      expect(letters).toHaveLength(3);
      expect(letters[1]).toMatchObject({ id: 'bad' });
      expect(await deadLetters.purge(group)).toBe(3);
      expect(connectionsLost(lab)).toEqual([]);
    }),
    60_000,
  );

  it('comes back to its publisher, and comes when it is asked for', async () => {
    const connection = await connect(RABBITMQ.url);
    try {
      const errors: unknown[] = [];
      connection.on('error', (error) => errors.push(error));
      expect(guardFrames(connection)).toBe(true);
      const channel = await connection.createConfirmChannel();
      const returned = once(channel, 'return');
      publishRawOn(connection, channel, '', 'no-such-queue', nestedHeader(), { mandatory: true });
      const [message] = (await returned) as [GetMessage];
      expect(message.properties.headers).toEqual({ [UNREADABLE]: true });
      const { queue } = await channel.assertQueue('', { exclusive: true });
      publishRawOn(connection, channel, '', queue, nestedHeader(), { type: 'a', correlationId: 'b' });
      await channel.waitForConfirms();
      const got = await channel.get(queue, { noAck: true });
      expect(got).toMatchObject({
        properties: { headers: { [UNREADABLE]: true }, type: 'a', correlationId: 'b' },
        content: Buffer.from('1'),
      });
      expect(errors).toEqual([]);
    } finally {
      await connection.close();
    }
  });
});
