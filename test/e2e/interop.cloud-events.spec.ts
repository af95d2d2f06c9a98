import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { CloudEvent, HTTP } from 'cloudevents';
import {
  CloudEventsSerializer,
  type EventBusModuleOptions,
  type EventContext,
  OnEvent,
  type ReceivedCloudEvent,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { byHand } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);
const onRabbit = reachable ? describe : describe.skip;

type Seen = readonly [payload: unknown, attempt: number];

const groupOf = (lab: Lab): string => `${lab.service}.Orders.on`;

/** Payloads that are `fails` fail every time. */
function consumer(lab: Lab, seen: Log<Seen>): Type {
  lab.willRemoveGroup(`${groupOf(lab)}.retry.20`);
  @Injectable()
  class Orders {
    @OnEvent('orders.*', { retry: { delaysMs: [20] } })
    on(payload: unknown, { attempt }: EventContext): void {
      seen.add([payload, attempt]);
      const data = (payload as ReceivedCloudEvent | null)?.data ?? payload;
      if (data === 'fails') throw new Error('as asked');
    }
  }
  return Orders;
}

describe.each(urls)('CloudEvents on %s', (_, url) => {
  it.each(['binary', 'structured'] as const)('%s: there and back, through a retry and a dead letter', (mode) =>
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus, deadLetters } = await lab.boot({
        options: { serializer: new CloudEventsSerializer({ mode, source: '/shop', payload: 'event' }) },
        providers: [consumer(lab, seen)],
      });
      const { id } = await bus.publish('orders.created', { n: 1 }, { key: 'k', headers: { tenant: 'a' } });
      await seen.reach(1);
      expect(seen.items[0]).toEqual([
        {
          specversion: '1.0',
          id,
          source: '/shop',
          type: 'orders.created',
          subject: 'orders.created',
          time: expect.stringMatching(/^\d{4}-.*Z$/),
          partitionkey: 'k',
          datacontenttype: 'application/json',
          data: { n: 1 },
        },
        1,
      ]);
      await bus.publish('orders.created', 'fails');
      await until('it is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      const letters = await deadLetters.list(groupOf(lab));
      expect(letters).toMatchObject([{ payload: { source: '/shop', data: 'fails' }, attempts: 2 }]);
      expect(await deadLetters.replay(groupOf(lab))).toBe(1);
      await until('it is dead again', async () => (await deadLetters.count(groupOf(lab))) === 1);
      expect(seen.length).toBe(5);
    })(),
  );
});

onRabbit('CloudEvents and plain JSON to one group', () => {
  it.each<[string, EventBusModuleOptions]>([
    ['plain first', { serializer: 'json', accept: [new CloudEventsSerializer({ mode: 'structured' })] }],
    ['documents first', { serializer: new CloudEventsSerializer({ mode: 'structured' }), accept: ['json'] }],
    [
      'headers first',
      {
        serializer: new CloudEventsSerializer({ mode: 'binary', acceptPlain: true }),
        accept: [new CloudEventsSerializer({ mode: 'structured' })],
      },
    ],
  ])('%s: all three kinds come as data', (_, options) =>
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({ options, providers: [consumer(lab, seen)] });
      const event = (n: number): CloudEvent<object> =>
        new CloudEvent({ source: '/theirs', type: 'order.created', datacontenttype: 'application/json', data: { n } });
      const document = HTTP.structured(event(1));
      const sent = HTTP.binary(event(2));
      const headers = Object.fromEntries(
        Object.entries(sent.headers)
          .filter(([name]) => name.startsWith('ce-'))
          .map(([name, value]) => [name.replace('ce-', 'cloudEvents_'), value]),
      );
      await byHand(RABBITMQ.url, async (channel) => {
        channel.publish(lab.exchange, 'orders.a', Buffer.from(document.body as string), {
          contentType: String(document.headers['content-type']),
        });
        channel.publish(lab.exchange, 'orders.b', Buffer.from(sent.body as string), {
          contentType: String(sent.headers['content-type']),
          headers,
        });
        channel.publish(lab.exchange, 'orders.c', Buffer.from('{"n":3}'), { contentType: 'application/json' });
        await channel.checkExchange(lab.exchange);
      });
      await bus.publish('orders.d', { n: 4 });
      const payloads = (await seen.settle(4)).map(([payload]) => payload as { readonly n: number });
      expect(payloads.toSorted((a, b) => a.n - b.n)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
    })(),
  );

  it(
    'what lacks a required attribute is dead as undecodable',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { deadLetters } = await lab.boot({
        options: { serializer: new CloudEventsSerializer({ mode: 'binary' }) },
        providers: [consumer(lab, seen)],
      });
      await byHand(RABBITMQ.url, async (channel) => {
        const headers = { 'cloudEvents:specversion': '1.0', 'cloudEvents:id': '1', 'cloudEvents:type': 't' };
        channel.publish(lab.exchange, 'orders.a', Buffer.from('1'), { contentType: 'application/json', headers });
        channel.publish(lab.exchange, 'orders.b', Buffer.from('1'), { contentType: 'application/json' });
        await channel.checkExchange(lab.exchange);
      });
      await until('both are dead', async () => (await deadLetters.count(groupOf(lab))) === 2);
      const messages = (await deadLetters.list(groupOf(lab))).map(({ reason, error }) => [reason, error.message]);
      expect(messages).toEqual([
        ['undecodable', expect.stringMatching(/"source"/)],
        ['undecodable', expect.stringMatching(/"specversion"/)],
      ]);
      expect(seen.items).toEqual([]);
    }),
  );
});
