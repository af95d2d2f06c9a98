import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  BadRequestException,
  type CanActivate,
  Controller,
  ForbiddenException,
  Injectable,
  Scope,
  UseGuards,
  UsePipes,
} from '@nestjs/common';
import { Ctx, EventPattern, Payload, RpcException } from '@nestjs/microservices';
import { EMPTY, lastValueFrom, map, timer } from 'rxjs';
import { DeadLetterError, fixed, type PublishReceipt } from '../../lib/index.js';
import { EventBusContext } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withMicroservices } from '../support/microservice.lab.js';

interface Order {
  readonly n: number;
}

const QUICK = fixed({ attempts: 3, delayMs: 20 });
const TRANSPORTS = [['memory', 'memory:'], ...((await isReachable(RABBITMQ)) ? [['RabbitMQ', RABBITMQ.url]] : [])];

describe.each(TRANSPORTS)('events of @nestjs/microservices on %s', (_, url = '') => {
  it(
    'reach a handler whose pattern has a wildcard, with the context',
    withMicroservices(url, async (lab) => {
      const seen = new Log<readonly [Order, EventBusContext]>('events');
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*')
        on(@Payload() order: Order, @Ctx() context: EventBusContext): void {
          seen.add([order, context]);
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      const receipt = await lastValueFrom(client.emit<PublishReceipt>('orders.created', { n: 1 }));
      expect(receipt).toMatchObject({ topic: 'orders.created', state: 'confirmed', routed: true });
      const [[order, context]] = (await seen.reach(1)) as readonly [readonly [Order, EventBusContext]];
      expect(order).toEqual({ n: 1 });
      expect(context).toBeInstanceOf(EventBusContext);
      expect(context.getPattern()).toBe('orders.*');
      expect(context.isRequest).toBe(false);
      expect(context).toMatchObject({ topic: 'orders.created', attempt: 1, group: `${lab.lab.service}.orders.any` });
      expect(context.message.id).toBe(receipt.id);
      expect(server.unwrap().status).toBe('up');
    }),
  );

  it(
    'that fail are retried, dead-lettered, and replayed',
    withMicroservices(url, async (lab) => {
      const attempts = new Log<number>('attempts');
      let isMended = false;
      @Controller()
      class Orders {
        @EventPattern<string>('orders.created', { group: `${lab.lab.service}.billing`, retry: QUICK })
        on(@Payload() _order: Order, @Ctx() context: EventBusContext): void {
          attempts.add(context.attempt);
          if (!isMended) throw new Error('as asked');
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const group = `${lab.lab.service}.billing`;
      await lastValueFrom(lab.client().emit('orders.created', { n: 1 }));
      await until('it is dead', async () => (await server.deadLetters.count(group)) === 1);
      expect(attempts.items).toEqual([1, 2, 3]);
      const [letter] = await server.deadLetters.list(group);
      expect(letter).toMatchObject({
        payload: { n: 1 },
        attempts: 3,
        reason: 'attempts-exhausted',
        error: { name: 'Error', message: 'as asked' },
      });
      isMended = true;
      expect(await server.deadLetters.replay(group)).toBe(1);
      await attempts.reach(4);
      await until('nothing is dead', async () => (await server.deadLetters.count(group)) === 0);
    }),
  );

  it(
    'that can never succeed are dead after one attempt, with the reason',
    withMicroservices(url, async (lab) => {
      @Injectable()
      class Never implements CanActivate {
        canActivate(): boolean {
          return false;
        }
      }
      @Injectable()
      class Throws implements CanActivate {
        canActivate(): boolean {
          throw new ForbiddenException();
        }
      }
      const refuse = {
        transform: () => {
          throw new BadRequestException(['n must be a number']);
        },
      };
      @Controller()
      class Orders {
        @EventPattern<string>('denied')
        @UseGuards(Never)
        denied(): void {}
        @EventPattern<string>('denied.loudly')
        @UseGuards(Throws)
        deniedLoudly(): void {}
        @EventPattern<string>('invalid')
        @UsePipes(refuse)
        invalid(@Payload() _order: Order): void {}
        @EventPattern<string>('final')
        final(): void {
          throw new DeadLetterError('unknown currency');
        }
        @EventPattern<string>('final.rpc')
        finalRpc(): void {
          throw new RpcException(new DeadLetterError('unknown currency'));
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      const expected: Readonly<Record<string, string>> = {
        denied: 'forbidden',
        'denied.loudly': 'forbidden',
        invalid: 'validation',
        final: 'not-retryable',
        'final.rpc': 'not-retryable',
      };
      for (const [topic, reason] of Object.entries(expected)) {
        await lastValueFrom(client.emit(topic, { n: 1 }));
        const group = `${lab.lab.service}.${topic}`;
        await until(`${topic} is dead`, async () => (await server.deadLetters.count(group)) === 1);
        expect(await server.deadLetters.list(group)).toMatchObject([{ reason, attempts: 1 }]);
      }
    }),
  );

  it(
    'whose handler gives an Observable are done when it ends, and failed when it fails',
    withMicroservices(url, async (lab) => {
      const seen = new Log<string>('runs');
      @Controller()
      class Orders {
        @EventPattern<string>('later')
        later() {
          return timer(50).pipe(map(() => seen.add('later')));
        }
        @EventPattern<string>('broken', { retry: QUICK })
        broken(@Ctx() context: EventBusContext) {
          return timer(5).pipe(
            map(() => {
              seen.add(`broken ${context.attempt}`);
              throw new Error('as asked');
            }),
          );
        }
      }
      const { app, server } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      await lastValueFrom(client.emit('broken', {}));
      await until('it is dead', async () => (await server.deadLetters.count(`${lab.lab.service}.broken`)) === 1);
      expect(seen.items).toEqual(['broken 1', 'broken 2', 'broken 3']);
      await lastValueFrom(client.emit('later', {}));
      await until('it runs', () => (server.unwrap().stats().groups[`${lab.lab.service}.later`]?.running ?? 0) > 0);
      await app.close();
      expect(seen.items.at(-1)).toBe('later');
    }),
  );

  it(
    'reach all methods of one pattern, whichever completes without a value, and none is ended by another',
    withMicroservices(url, async (lab) => {
      const seen = new Log<string>('runs');
      @Controller()
      class Orders {
        @EventPattern<string>('orders.created')
        first() {
          seen.add('first');
          return EMPTY;
        }
        @EventPattern<string>('orders.created', { retry: undefined })
        async second(): Promise<void> {
          await sleep(50);
          seen.add('second');
        }
        @EventPattern<string>('orders.created', { group: `${lab.lab.service}.own` })
        own(): void {
          seen.add('own');
        }
      }
      await lab.serve({ controllers: [Orders] });
      await lastValueFrom(lab.client().emit('orders.created', {}));
      expect([...(await seen.settle(3))].sort()).toEqual(['first', 'own', 'second']);
    }),
  );

  it(
    'that run when the application closes are finished, before the providers are destroyed',
    withMicroservices(url, async (lab) => {
      const order: string[] = [];
      const started = new Log<number>('starts');
      @Injectable()
      class Database {
        onModuleDestroy(): void {
          order.push('destroyed');
        }
      }
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*')
        async on(@Payload() { n }: Order): Promise<void> {
          started.add(n);
          await sleep(200);
          order.push('handled');
        }
      }
      const { app, server } = await lab.serve({ controllers: [Orders], providers: [Database] });
      const client = lab.client();
      await Promise.all([1, 2, 3].map((n) => lastValueFrom(client.emit('orders.created', { n }))));
      await started.reach(3);
      await app.close();
      expect(order).toEqual(['handled', 'handled', 'handled', 'destroyed']);
      expect(server.unwrap().status).toBe('closed');
    }),
  );

  it(
    'get an instance of their own where a provider is request-scoped',
    withMicroservices(url, async (lab) => {
      const seen = new Log<object>('instances');
      @Injectable({ scope: Scope.REQUEST })
      class Unit {}
      @Controller()
      class Orders {
        constructor(private readonly unit: Unit) {}
        @EventPattern<string>('orders.*')
        on(): void {
          seen.add(this.unit);
        }
      }
      Reflect.defineMetadata('design:paramtypes', [Unit], Orders);
      await lab.serve({ controllers: [Orders], providers: [Unit] });
      const client = lab.client();
      await Promise.all([1, 2].map((n) => lastValueFrom(client.emit('orders.created', { n }))));
      expect(new Set(await seen.settle(2)).size).toBe(2);
    }),
  );

  it(
    'bring along what a dispatch hook has put beside the payload, where Nest has such hooks',
    withMicroservices(url, async (lab) => {
      const seen = new Log<EventBusContext>('events');
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*')
        on(@Payload() _order: Order, @Ctx() context: EventBusContext): void {
          seen.add(context);
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const hooks: string[] = [];
      server.setOnProcessingStartHook((transportId, _context, done) => {
        hooks.push(`start ${String(transportId)}`);
        void done();
      });
      server.setOnProcessingEndHook(() => hooks.push('end'));
      const client = lab.client();
      const metadata = { 'x-request-id': 'r-1' };
      const hasHooks = typeof client.setOnDispatchHook === 'function';
      if (hasHooks) {
        client.setOnDispatchHook((packet) => {
          packet.metadata = metadata;
        });
      }
      await lastValueFrom(client.emit('orders.created', { n: 1 }));
      const [context] = await seen.reach(1);
      expect(context?.getMetadata()).toEqual(hasHooks ? metadata : undefined);
      await until('the hooks have run', () => hooks.length === 2);
      expect(hooks).toEqual(['start Symbol(event-bus)', 'end']);
    }),
  );

  it(
    'that nobody asks for are told by the receipt; an error reaches who looks, at once or later, and else the log',
    withMicroservices(url, async (lab) => {
      const client = lab.client();
      expect(await lastValueFrom(client.emit<PublishReceipt>('nobody', {}))).toMatchObject({ routed: false });
      const tooLarge = 'x'.repeat(2_000_000);
      const outcome = client.emit('orders.created', tooLarge);
      await expect(lastValueFrom(client.emit('orders.created', tooLarge))).rejects.toMatchObject({
        code: 'MESSAGE_TOO_LARGE',
      });
      const isLogged = (): boolean => lab.lab.lines.some((line) => line.includes('An event was not published'));
      await until('the one that nobody looked at is logged', isLogged);
      await expect(lastValueFrom(outcome)).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
      expect(lab.lab.lines.filter((line) => line.includes('An event was not published'))).toHaveLength(1);
    }),
  );
});
