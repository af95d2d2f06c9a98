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
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import type { Channel, ConsumeMessage } from 'amqplib';
import { lastValueFrom } from 'rxjs';
import { OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { waitingIn } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';

interface Order {
  readonly n: number;
}

/** How a client of @nestjs/microservices writes it. */
interface Envelope {
  readonly pattern: string;
  readonly data: Order;
}

/** Two applications of theirs start, and one of ours. */
const WAIT_MS = 20_000;

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

const queueOf = (lab: Lab): string => lab.willRemoveGroup(`${lab.name}.queue`);

/** Their server as their documentation shows it, with acknowledgements. */
async function serve(options: NonNullable<RmqOptions['options']>, seen: Log<number>): Promise<INestMicroservice> {
  @Controller()
  class Orders {
    @EventPattern('order.placed')
    placed(@Payload() order: Order, @Ctx() context: unknown): void {
      seen.add(order.n);
      const rmq = context as RmqContext;
      (rmq.getChannelRef() as Channel).ack(rmq.getMessage() as unknown as ConsumeMessage);
    }
  }
  const module = await Test.createTestingModule({ controllers: [Orders] })
    .setLogger(false as never)
    .compile();
  const app = module.createNestMicroservice({ transport: Transport.RMQ, options: { ...options, noAck: false } });
  await app.listen();
  return app;
}

/** Emits without a pause until it is told to stop. */
class Stream {
  private isStopped = false;
  private readonly running: Promise<void>;
  private sent = 0;

  constructor(private readonly client: ClientProxy) {
    this.running = this.run();
  }

  /** Resolves when so many more have been sent. */
  async more(count: number): Promise<void> {
    const goal = this.sent + count;
    await until(`${count} more are sent`, () => this.sent >= goal);
  }

  /** How many there were in all. */
  async stop(): Promise<number> {
    this.isStopped = true;
    await this.running;
    return this.sent;
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      await lastValueFrom(this.client.emit('order.placed', { n: this.sent }), { defaultValue: undefined });
      this.sent++;
    }
  }
}

/** Their server, then both, then the bus alone, while their client goes on emitting. Every message must be handled. */
async function takeOver(
  lab: Lab,
  options: NonNullable<RmqOptions['options']>,
  listener: (seen: Log<Envelope>) => Type,
): Promise<Log<Envelope>> {
  const theirs = new Log<number>('messages at their server');
  const ours = new Log<Envelope>('events');
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options: { ...options, persistent: true } });
  const server = await serve(options, theirs);
  let isServing = true;
  const end = async (): Promise<void> => {
    if (isServing) await server.close();
    isServing = false;
  };
  try {
    const stream = new Stream(client);
    try {
      await theirs.reach(50, WAIT_MS);
      await lab.boot({ providers: [listener(ours)] });
      const before = theirs.length;
      await until('both handle some', () => ours.length >= 50 && theirs.length >= before + 50, WAIT_MS);
      await end();
      await stream.more(50);
    } finally {
      await stream.stop();
    }
    const count = await stream.stop();
    const handled = (): Set<number> => new Set([...theirs.items, ...ours.items.map(({ data }) => data.n)]);
    await until('all are handled', () => handled().size === count);
    expect(await waitingIn(RABBITMQ.url, `${lab.name}.queue`)).toBe(0);
    return ours;
  } finally {
    await end();
    await client.close();
  }
}

onRabbit('a queue of @nestjs/microservices', () => {
  it(
    'is taken over while its client goes on emitting: every message is handled, by their server or as { pattern, data }',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = queueOf(lab);
      const ours = await takeOver(lab, { urls: [RABBITMQ.url], queue, queueOptions: { durable: true } }, (seen) => {
        @Injectable()
        class Adopted {
          @OnEvent(queue, { rabbitmq: { queue, queueType: 'classic', assert: 'check' } })
          on(envelope: Envelope): void {
            seen.add(envelope);
          }
        }
        return Adopted;
      });
      expect(ours.items[0]).toEqual({ pattern: 'order.placed', data: { n: expect.any(Number) } });
    }),
  );

  it(
    'with wildcards: the patterns are topics of their exchange',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = queueOf(lab);
      const options = { urls: [RABBITMQ.url], queue, exchange: lab.exchange, wildcards: true };
      const ours = await takeOver(lab, { ...options, queueOptions: { durable: true } }, (seen) => {
        @Injectable()
        class Adopted {
          @OnEvent('order.*', { rabbitmq: { queue, queueType: 'classic', arguments: {} } })
          on(envelope: Envelope): void {
            seen.add(envelope);
          }
        }
        return Adopted;
      });
      expect(ours.items[0]).toEqual({ pattern: 'order.placed', data: { n: expect.any(Number) } });
    }),
  );

  it(
    'a message that fails comes back to it in its envelope, and is dead under the name of the group',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = queueOf(lab);
      const group = `${lab.service}.Adopted.on`;
      lab.willRemoveGroup(`${group}.retry.20.to.${queue}`);
      const options = { urls: [RABBITMQ.url], queue, queueOptions: { durable: true } };
      const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
      try {
        await lastValueFrom(client.emit('order.placed', { n: 1 }), { defaultValue: undefined });
        const seen = new Log<Envelope>('events');
        @Injectable()
        class Adopted {
          @OnEvent(queue, { rabbitmq: { queue, queueType: 'classic', assert: 'check' }, retry: { delaysMs: [20] } })
          on(envelope: Envelope): void {
            seen.add(envelope);
            throw new Error('as asked');
          }
        }
        const { deadLetters } = await lab.boot({ providers: [Adopted] });
        await until('it is dead', async () => (await deadLetters.count(group)) === 1);
        const envelope = { pattern: 'order.placed', data: { n: 1 } };
        expect(seen.items).toEqual([envelope, envelope]);
        expect(await deadLetters.list(group)).toMatchObject([{ payload: envelope, attempts: 2, topic: queue }]);
      } finally {
        await client.close();
      }
    }),
  );
});
