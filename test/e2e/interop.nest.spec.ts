import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Controller, type INestMicroservice, Injectable, type Type } from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  Payload,
  type RmqContext,
  type RmqOptions,
  RmqRecordBuilder,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { lastValueFrom } from 'rxjs';
import { type EventContext, NestEnvelopeSerializer, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { byHand } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

type Options = NonNullable<RmqOptions['options']>;
type Seen = readonly [payload: unknown, topic: string, attempt: number];
type TheirSeen = readonly [handler: string, data: unknown, pattern: string];

const { url } = RABBITMQ;

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

const groupOf = (lab: Lab): string => `${lab.service}.Orders.on`;
const queueOf = (lab: Lab): string => lab.willRemoveGroup(`${lab.name}.queue`);

/** Their server, with a handler for one event and one for all of a kind. */
async function serve(options: Options, seen: Log<TheirSeen>): Promise<INestMicroservice> {
  @Controller()
  class Orders {
    @EventPattern('orders.created')
    created(@Payload() data: unknown, @Ctx() context: unknown): void {
      seen.add(['created', data, (context as RmqContext).getPattern()]);
    }
    @EventPattern('stock.*')
    stock(@Payload() data: unknown, @Ctx() context: unknown): void {
      seen.add(['stock', data, (context as RmqContext).getPattern()]);
    }
  }
  const module = await Test.createTestingModule({ controllers: [Orders] })
    .setLogger(false as never)
    .compile();
  const app = module.createNestMicroservice({ transport: Transport.RMQ, options });
  await app.listen();
  return app;
}

async function withClient(options: Options, work: (client: ClientProxy) => Promise<void>): Promise<void> {
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

const emit = (client: ClientProxy, pattern: unknown, data: unknown): Promise<unknown> =>
  lastValueFrom(client.emit(pattern, data), { defaultValue: undefined });

/** Fails for the payload `{ fail: true }`. */
function consumer(lab: Lab, seen: Log<Seen>, patterns: readonly string[], rabbitmq?: OnEventOptions['rabbitmq']): Type {
  lab.willRemoveGroup(`${groupOf(lab)}.retry.20`);
  @Injectable()
  class Orders {
    @OnEvent(patterns, { retry: { delaysMs: [20] }, ...(rabbitmq && { rabbitmq }) })
    on(payload: unknown, { topic, attempt }: EventContext): void {
      seen.add([payload, topic, attempt]);
      if ((payload as { readonly fail?: boolean } | null)?.fail) throw new Error('as asked');
    }
  }
  return Orders;
}

onRabbit('a server of @nestjs/microservices gets what we publish', () => {
  it(
    'with wildcards: bound to our exchange by the patterns of its handlers',
    withLab(url, async (lab) => {
      const { bus } = await lab.boot({ options: { serializer: new NestEnvelopeSerializer() } });
      const seen = new Log<TheirSeen>('events at their server');
      const server = await serve({ urls: [url], queue: queueOf(lab), exchange: lab.exchange, wildcards: true }, seen);
      try {
        const options = { unroutable: 'reject' } as const;
        await bus.publish('orders.created', { n: 1, name: 'Größe' }, options);
        await bus.publish('stock.reserved', [1, 2], options);
        await bus.publish('stock.gone', undefined, options);
        expect(await seen.settle(3)).toEqual([
          ['created', { n: 1, name: 'Größe' }, 'orders.created'],
          ['stock', [1, 2], 'stock.reserved'],
          ['stock', null, 'stock.gone'],
        ]);
      } finally {
        await server.close();
      }
    }),
  );

  it(
    'without: its queue is bound by hand, and the pattern in the envelope finds the handler',
    withLab(url, async (lab) => {
      const { bus } = await lab.boot({ options: { serializer: new NestEnvelopeSerializer() } });
      const seen = new Log<TheirSeen>('events at their server');
      const queue = queueOf(lab);
      const server = await serve({ urls: [url], queue, queueOptions: { durable: true } }, seen);
      try {
        await byHand(url, (channel) => channel.bindQueue(queue, lab.exchange, 'orders.*'));
        await bus.publish('orders.created', { n: 1 }, { unroutable: 'reject' });
        expect(await seen.settle(1)).toEqual([['created', { n: 1 }, 'orders.created']]);
      } finally {
        await server.close();
      }
    }),
  );
});

onRabbit('we get what a client of @nestjs/microservices emits', () => {
  it(
    'with wildcards: by our exchange, with the pattern as the topic, beside plain JSON of others and of our own',
    withLab(url, async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({
        options: { serializer: new NestEnvelopeSerializer() },
        providers: [consumer(lab, seen, ['orders.*'])],
      });
      const options: Options = { urls: [url], queue: lab.exchange, exchange: lab.exchange, wildcards: true };
      const plain = Buffer.from(JSON.stringify({ pattern: '*.txt', data: 2 }));
      await withClient(options, async (client) => {
        await emit(client, 'orders.created', { n: 1 });
        await seen.reach(1);
        await byHand(url, async (channel) => {
          channel.publish(lab.exchange, 'orders.plain', plain);
          await channel.checkExchange(lab.exchange);
        });
        await seen.reach(2);
        await bus.publish('orders.ours', { n: 3 });
        expect(await seen.settle(3)).toEqual([
          [{ n: 1 }, 'orders.created', 1],
          [{ pattern: '*.txt', data: 2 }, 'orders.plain', 1],
          [{ n: 3 }, 'orders.ours', 1],
        ]);
      });
    }),
  );

  it(
    'a record with headers: the handler sees them, and the data alone',
    withLab(url, async (lab) => {
      const seen = new Log<unknown>('events');
      @Injectable()
      class Orders {
        @OnEvent('orders.*')
        on(payload: unknown, { headers, message }: EventContext): void {
          seen.add([payload, { ...headers }, message.id, message.timestamp]);
        }
      }
      await lab.boot({ options: { serializer: new NestEnvelopeSerializer() }, providers: [Orders] });
      const options: Options = { urls: [url], queue: lab.exchange, exchange: lab.exchange, wildcards: true };
      await withClient(options, async (client) => {
        const record = new RmqRecordBuilder({ n: 1 }).setOptions({ headers: { tenant: 'a' }, priority: 3 }).build();
        await emit(client, 'orders.created', record);
        expect(await seen.settle(1)).toEqual([[{ n: 1 }, { tenant: 'a' }, '', 0]]);
      });
    }),
  );

  it(
    'without: by its queue, whose name is the topic; one that fails is retried, dead and replayed as data',
    withLab(url, async (lab) => {
      const queue = queueOf(lab);
      lab.willRemoveGroup(`${groupOf(lab)}.retry.20.to.${queue}`);
      const seen = new Log<Seen>('events');
      const rabbitmq = { queue, queueType: 'classic', arguments: {} } as const;
      const { deadLetters } = await lab.boot({
        options: { serializer: new NestEnvelopeSerializer({ queues: [queue] }) },
        providers: [consumer(lab, seen, [queue], rabbitmq)],
      });
      await withClient({ urls: [url], queue, queueOptions: { durable: true } }, async (client) => {
        await emit(client, 'orders.created', { fail: true });
        await emit(client, { cmd: 'sum' }, { n: 2 });
      });
      await until('one is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      await seen.settle(3);
      expect(seen.items).toEqual(
        expect.arrayContaining([
          [{ fail: true }, queue, 1],
          [{ fail: true }, queue, 2],
          [{ n: 2 }, queue, 1],
        ]),
      );
      expect(await deadLetters.list(groupOf(lab))).toMatchObject([{ payload: { fail: true }, topic: queue }]);
      expect(await deadLetters.replay(groupOf(lab))).toBe(1);
      await until('it is dead again', async () => (await deadLetters.count(groupOf(lab))) === 1);
      expect(await seen.settle(5)).toContainEqual([{ fail: true }, queue, 2]);
    }),
  );
});
