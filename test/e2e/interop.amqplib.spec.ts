import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import type { GetMessage } from 'amqplib';
import { type EventContext, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { byHand, waitingIn } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

type Seen = readonly [payload: unknown, topic: string];

const { url } = RABBITMQ;

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

const groupOf = (lab: Lab): string => `${lab.service}.Orders.on`;

function consumer(seen: Log<Seen>): Type {
  @Injectable()
  class Orders {
    @OnEvent('orders.*')
    on(payload: unknown, { topic }: EventContext): void {
      seen.add([payload, topic]);
    }
  }
  return Orders;
}

const asWePublishIt = (lab: Lab, topic: string, json: string): object => ({
  fields: { routingKey: topic, exchange: lab.exchange },
  content: Buffer.from(json),
  properties: {
    contentType: 'application/json',
    contentEncoding: undefined,
    messageId: expect.any(String),
    timestamp: expect.any(Number),
    type: 'order',
    appId: lab.service,
    deliveryMode: 2,
    headers: {},
  },
});

onRabbit('a plain client of amqplib', () => {
  it(
    'publishes a body alone, and gets a plain body with the documented properties on a queue of its own',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({ providers: [consumer(seen)] });
      await byHand(url, async (channel) => {
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, lab.exchange, '#');
        channel.publish(lab.exchange, 'orders.theirs', Buffer.from('{"n":1}'));
        await seen.reach(1);
        expect(await bus.publish('orders.ours', { n: 2 }, { type: 'order' })).toMatchObject({ routed: true });
        expect(await seen.settle(2)).toEqual([
          [{ n: 1 }, 'orders.theirs'],
          [{ n: 2 }, 'orders.ours'],
        ]);
        expect(await channel.get(queue, { noAck: true })).toMatchObject({ fields: { routingKey: 'orders.theirs' } });
        const ours = await channel.get(queue, { noAck: true });
        expect(ours).toMatchObject(asWePublishIt(lab, 'orders.ours', '{"n":2}'));
      });
    }),
  );

  it(
    'takes from the queue of a group, in place of a process of ours',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({ options: { consume: { enabled: false } }, providers: [consumer(seen)] });
      await bus.publish('orders.created', { n: 1 }, { type: 'order', unroutable: 'reject' });
      await byHand(url, async (channel) => {
        const taken = (await channel.get(groupOf(lab))) as GetMessage;
        expect(taken).toMatchObject(asWePublishIt(lab, 'orders.created', '{"n":1}'));
        channel.ack(taken);
        await until('its queue is empty', async () => (await channel.checkQueue(groupOf(lab))).messageCount === 0);
      });
      expect(await waitingIn(url, groupOf(lab))).toBe(0);
      expect(seen.items).toEqual([]);
    }),
  );
});
