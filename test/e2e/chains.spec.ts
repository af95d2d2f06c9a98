import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Controller, Injectable, Module } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern } from '@nestjs/microservices';
import { connect } from 'amqplib';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import type { EventBus } from '../../lib/bus/event-bus.js';
import {
  EventBusModule,
  EventBusService,
  type EventContext,
  EventContextHost,
  InjectEventBus,
  type Message,
  OnEvent,
} from '../../lib/index.js';
import { EventBusContext, type EventBusServer } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withLab } from '../support/lab.js';
import { withMicroservices } from '../support/microservice.lab.js';

const hasRabbit = await isReachable(RABBITMQ);
const onRabbit = hasRabbit ? describe : describe.skip;
const TRANSPORTS = [['memory', 'memory:'], ...(hasRabbit ? [['RabbitMQ', RABBITMQ.url]] : [])];

describe('EventContextHost', () => {
  it(
    'is one for all buses of an application; what one bus publishes in a handler of another belongs to the chain',
    withLab(undefined, async (lab) => {
      const seen = new Log<Message>('messages');
      @Injectable()
      class Audit {
        constructor(
          @InjectEventBus('audit') private readonly bus: EventBusService,
          private readonly host: EventContextHost,
        ) {}
        async write(): Promise<void> {
          await this.bus.publish('audit.written', { by: this.host.getOrThrow().message.id });
        }
      }
      @Module({ providers: [Audit], exports: [Audit] })
      class AuditModule {}
      @Injectable()
      class OrderListener {
        constructor(private readonly audit: Audit) {}
        @OnEvent('orders.created')
        on(): Promise<void> {
          return this.audit.write();
        }
        @OnEvent('audit.#', { bus: 'audit' })
        written(payload: unknown, { message }: EventContext): void {
          expect(payload).toEqual({ by: 'o-1' });
          seen.add(message);
        }
      }
      const { bus, app } = await lab.boot({
        imports: [EventBusModule.forRoot({ name: 'audit', ...lab.options({ service: 'audits' }) }), AuditModule],
        providers: [OrderListener],
      });
      await bus.publish('orders.created', 1, { id: 'o-1', correlationId: 'c-0' });
      expect(await seen.settle(1)).toMatchObject([{ correlationId: 'c-0', causationId: 'o-1', depth: 1 }]);
      expect(() => app.get(EventContextHost).getOrThrow()).toThrow(expect.objectContaining({ code: 'NO_CONTEXT' }));
    }),
  );

  it(
    'comes with a bus that is not global, for those that import it; two applications have two',
    withLab(undefined, async (lab) => {
      @Injectable()
      class Audit {
        constructor(readonly host: EventContextHost) {}
      }
      const busModule = EventBusModule.forRoot({ ...lab.options(), isGlobal: false });
      @Module({ imports: [busModule], providers: [Audit] })
      class AuditModule {}
      const boot = () => lab.compile({ bare: true, imports: [AuditModule] });
      const [one, two] = [await boot(), await boot()];
      expect(one.get(Audit, { strict: false }).host).toBeInstanceOf(EventContextHost);
      expect(one.get(Audit, { strict: false }).host).not.toBe(two.get(Audit, { strict: false }).host);
    }),
  );
});

describe.each(TRANSPORTS)('chains of handlers of @nestjs/microservices on %s', (_, url = '') => {
  it(
    'go on in what the bus publishes in a handler, and end at the limit; in those of requests as well',
    withMicroservices(url, async (lab) => {
      const seen = new Log<readonly unknown[]>('events');
      let server: EventBusServer | undefined;
      const bus = (): EventBus => {
        if (!server) throw new Error('It does not listen yet.');
        return server.unwrap();
      };
      @Controller()
      class Orders {
        @EventPattern<string>('orders.created')
        async on(): Promise<void> {
          await bus().publish('orders.created', 0);
        }
        @EventPattern<string>('#', { group: `${lab.lab.name}.watch` })
        watch(@Ctx() { message }: EventBusContext): void {
          seen.add([message.topic, message.correlationId, message.depth]);
        }
        @MessagePattern('orders.place')
        async place(): Promise<void> {
          for (let depth = 0; depth < 3; depth++) await bus().publish('orders.placed', depth);
        }
      }
      ({ server } = await lab.serve({ controllers: [Orders], options: { publish: { maxDepth: 2 } } }));
      const client = lab.client();
      const { id } = await lastValueFrom(client.emit<{ id: string }>('orders.created', { n: 1 }));
      expect(await seen.settle(3)).toEqual([
        ['orders.created', undefined, undefined],
        ['orders.created', id, 1],
        ['orders.created', id, 2],
      ]);
      const group = `${lab.lab.service}.orders.created`;
      const { deadLetters } = server;
      await until('the last one is dead', async () => (await deadLetters.count(group)) === 1);
      expect(await deadLetters.list(group)).toMatchObject([{ reason: 'chain-too-deep', attempts: 1 }]);
      await firstValueFrom(client.send('orders.place', {}), { defaultValue: undefined });
      const placed = (await seen.settle(6)).slice(3);
      expect(placed.map(([, , depth]) => depth)).toEqual([1, 1, 1]);
      expect(new Set(placed.map(([, correlationId]) => correlationId)).size).toBe(1);
    }),
  );
});

onRabbit('chains over RabbitMQ', () => {
  it(
    'two services that feed each other stop at the lower of their limits',
    withLab(RABBITMQ.url, async (lab) => {
      const handled = new Log<string>('events');
      const feeder = (own: string, other: string) => {
        @Injectable()
        class Feeder {
          @OnEvent(own)
          on(_: unknown, context: EventContext): void {
            handled.add(`${own} ${context.message.depth ?? 0}`);
            context.emit(other, 0);
          }
        }
        return Feeder;
      };
      const orders = await lab.boot({
        providers: [feeder('orders', 'stock')],
        options: { publish: { maxDepth: 7 } },
      });
      const stock = await lab.boot({
        providers: [feeder('stock', 'orders')],
        options: { service: `${lab.name}.stock`, publish: { maxDepth: 3 } },
      });
      await orders.bus.publish('orders', 0);
      const group = `${lab.name}.stock.Feeder.on`;
      await until('it has stopped', async () => (await stock.deadLetters.count(group)) === 1);
      expect(await stock.deadLetters.list(group)).toMatchObject([{ reason: 'chain-too-deep', attempts: 1 }]);
      expect(await handled.settle(4)).toEqual(['orders 0', 'stock 1', 'orders 2', 'stock 3']);
    }),
  );

  it(
    'a forged depth is bounded, or is none',
    withLab(RABBITMQ.url, async (lab) => {
      const handled = new Log<readonly [payload: unknown, depth: number | undefined]>('events');
      @Injectable()
      class OrderListener {
        @OnEvent('orders.*')
        on(payload: unknown, context: EventContext): void {
          handled.add([payload, context.message.depth]);
          context.emit('next', payload, { unroutable: 'ignore' });
        }
      }
      const { deadLetters } = await lab.boot({ providers: [OrderListener] });
      const forged = [-5, 0, 1.5, '99', true, null, [7], { depth: 7 }, 2 ** 40, 12];
      const connection = await connect(RABBITMQ.url);
      const channel = await connection.createConfirmChannel();
      for (const [index, depth] of forged.entries()) {
        const options = { headers: { 'eb-depth': depth }, contentType: 'application/json' };
        channel.publish(lab.exchange, 'orders.created', Buffer.from(String(index)), options);
      }
      await channel.waitForConfirms();
      await connection.close();
      const depths = new Map(await handled.settle(forged.length));
      expect(forged.map((_, index) => depths.get(index))).toEqual([...Array(8).fill(undefined), 1_000_000, 12]);
      const group = `${lab.service}.OrderListener.on`;
      await until('the deepest is dead', async () => (await deadLetters.count(group)) === 1);
      expect(await deadLetters.list(group)).toMatchObject([{ reason: 'chain-too-deep', payload: 8 }]);
    }),
  );
});
