import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import {
  concat,
  firstValueFrom,
  from,
  lastValueFrom,
  NEVER,
  type Observable,
  of,
  throwError,
  timeout,
  toArray,
} from 'rxjs';
import { RequestTimeoutError } from '../../lib/index.js';
import { EventBusContext } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withMicroservices } from '../support/microservice.lab.js';

const TRANSPORTS = [['memory', 'memory:'], ...((await isReachable(RABBITMQ)) ? [['RabbitMQ', RABBITMQ.url]] : [])];

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('It succeeded.');
    },
    (error: unknown) => error,
  );
}

describe.each(TRANSPORTS)('messages of @nestjs/microservices on %s', (_, url = '') => {
  it(
    'are answered: with a value, with an object as the pattern, with nothing, with what an interceptor makes of it',
    withMicroservices(url, async (lab) => {
      @Injectable()
      class Wraps implements NestInterceptor {
        intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
          return next.handle();
        }
      }
      @Controller()
      class Sums {
        @MessagePattern({ cmd: 'sum' })
        sum(@Payload() numbers: readonly number[], @Ctx() context: EventBusContext): number {
          expect(context).toBeInstanceOf(EventBusContext);
          expect(context.isRequest).toBe(true);
          return numbers.reduce((a, b) => a + b, 0);
        }
        @MessagePattern('nothing')
        nothing(): void {}
        @MessagePattern('null')
        nil(): null {
          return null;
        }
        @MessagePattern('wrapped')
        @UseInterceptors(Wraps)
        async wrapped(): Promise<string> {
          return 'wrapped';
        }
      }
      await lab.serve({ controllers: [Sums] });
      const client = lab.client();
      expect(await firstValueFrom(client.send({ cmd: 'sum' }, [1, 2, 3]))).toBe(6);
      expect(await lastValueFrom(client.send('nothing', {}), { defaultValue: 'no value' })).toBe('no value');
      expect(await lastValueFrom(client.send('null', {}))).toBeNull();
      expect(await lastValueFrom(client.send('wrapped', {}).pipe(toArray()))).toEqual(['wrapped']);
    }),
  );

  it(
    'are answered with the error, once, and nothing is retried or dead',
    withMicroservices(url, async (lab) => {
      let runs = 0;
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        place(): void {
          runs++;
          throw new RpcException({ code: 'OUT_OF_STOCK', message: 'none left' });
        }
        @MessagePattern('orders.break')
        break(): void {
          runs++;
          throw new Error('a secret of the implementation');
        }
      }
      const { server } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      const told = await failure(firstValueFrom(client.send('orders.place', {})));
      expect(told).toEqual({ code: 'OUT_OF_STOCK', message: 'none left' });
      const hidden = await failure(firstValueFrom(client.send('orders.break', {})));
      expect(hidden).toEqual({ status: 'error', message: 'Internal server error' });
      expect(runs).toBe(2);
      for (const { retried, deadLettered } of Object.values(server.unwrap().stats().groups)) {
        expect({ retried, deadLettered }).toEqual({ retried: 0, deadLettered: 0 });
      }
    }),
  );

  it(
    'are answered with all values of an Observable, in order, and with an error after some',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Streams {
        @MessagePattern('count')
        count(@Payload() to: number): Observable<number> {
          return from(Array.from({ length: to }, (_, n) => n));
        }
        @MessagePattern('breaks')
        breaks(): Observable<number> {
          return concat(
            of(1, 2),
            throwError(() => new RpcException('enough')),
          );
        }
      }
      await lab.serve({ controllers: [Streams] });
      const client = lab.client();
      const values = await lastValueFrom(client.send('count', 100).pipe(toArray()));
      expect(values).toEqual(Array.from({ length: 100 }, (_, n) => n));
      expect(await lastValueFrom(client.send('count', 0).pipe(toArray()))).toEqual([]);
      const seen: unknown[] = [];
      const error = await failure(
        new Promise((resolve, reject) => {
          client
            .send('breaks', {})
            .subscribe({ next: (n) => seen.push(n), error: reject, complete: () => resolve(seen) });
        }),
      );
      expect(error).toEqual({ status: 'error', message: 'enough' });
      expect(seen).toEqual([1, 2]);
    }),
  );

  it(
    'emit before they are answered; who fails, or cannot emit, is answered with the error and emits nothing',
    withMicroservices(url, async (lab) => {
      const emitted = new Log<unknown>('events');
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        place(@Payload() n: number, @Ctx() context: EventBusContext): Observable<number> {
          context.emit('orders.placed', n);
          return of(n, n + 1);
        }
        @MessagePattern('orders.break')
        break(@Payload() n: number, @Ctx() context: EventBusContext): void {
          context.emit('orders.placed', n);
          throw new RpcException('broken');
        }
        @MessagePattern('orders.refuse')
        refuse(@Payload() n: number, @Ctx() context: EventBusContext): number {
          context.emit('orders.placed', 1n);
          return n;
        }
        @MessagePattern('orders.unsendable')
        unsendable(@Payload() n: number, @Ctx() context: EventBusContext): Observable<unknown> {
          context.emit('orders.placed', n);
          return concat(of(n, 1n), NEVER);
        }
        @EventPattern('orders.placed')
        on(@Payload() n: unknown): void {
          emitted.add(n);
        }
      }
      await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      expect(await lastValueFrom(client.send('orders.place', 1).pipe(toArray()))).toEqual([1, 2]);
      expect(await failure(firstValueFrom(client.send('orders.break', 2)))).toMatchObject({ message: 'broken' });
      expect(await failure(firstValueFrom(client.send('orders.refuse', 3)))).toMatchObject({ code: 'EMIT_FAILED' });
      expect(await failure(lastValueFrom(client.send('orders.unsendable', 4)))).toMatchObject({
        message: 'The answer could not be sent.',
      });
      expect(await lastValueFrom(client.send('orders.place', 5).pipe(toArray()))).toEqual([5, 6]);
      expect(await emitted.settle(2)).toEqual([1, 5]);
    }),
  );

  it(
    '200 at one time: each gets its own answer',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Echo {
        @MessagePattern('echo', { concurrency: 50 })
        async echo(@Payload() n: number): Promise<number> {
          await sleep((n * 7) % 23);
          return n;
        }
      }
      await lab.serve({ controllers: [Echo] });
      const client = lab.client();
      const asked = Array.from({ length: 200 }, (_, n) => n + 1);
      expect(await Promise.all(asked.map((n) => firstValueFrom(client.send('echo', n))))).toEqual(asked);
    }),
  );

  it(
    'that nobody has ever handled error at once; whose handler is away, when their time is up, and are not started later',
    withMicroservices(url, async (lab) => {
      const started = new Log<number>('starts');
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        place(@Payload() n: number): number {
          started.add(n);
          return n;
        }
      }
      const client = lab.client({ request: { timeoutMs: 300 } });
      const began = Date.now();
      const unknown = await failure(firstValueFrom(client.send('orders.plaice', 1)));
      expect(unknown).toMatchObject({ name: 'NoHandlerError', code: 'NO_HANDLER' });
      const first = await lab.serve({ controllers: [Orders] });
      expect(await firstValueFrom(client.send('orders.place', 1))).toBe(1);
      await first.app.close();
      const late = await failure(firstValueFrom(client.send('orders.place', 2)));
      expect(late).toBeInstanceOf(RequestTimeoutError);
      expect(Date.now() - began).toBeLessThan(10_000);
      const { server } = await lab.serve({ controllers: [Orders] });
      expect(await firstValueFrom(client.send('orders.place', 3))).toBe(3);
      expect(started.items).toEqual([1, 3]);
      const { expired } = Object.values(server.unwrap().stats().groups)[0] ?? {};
      expect(expired).toBe(1);
    }),
  );

  it(
    'that are given up leave nothing behind; those that wait when the client closes error',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Orders {
        @MessagePattern('never')
        never(@Ctx() context: EventBusContext): Promise<void> {
          return new Promise((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }));
        }
      }
      await lab.serve({ controllers: [Orders], options: { shutdown: { deadlineMs: 300 } } });
      const client = lab.client();
      await expect(firstValueFrom(client.send('never', {}).pipe(timeout(100)))).rejects.toMatchObject({
        name: 'TimeoutError',
      });
      const waiting = failure(firstValueFrom(client.send('never', {})));
      await sleep(50);
      const { requester } = (client as unknown as { opened: { requester: { size: number } } }).opened;
      expect(requester.size).toBe(1);
      await client.close();
      expect(await waiting).toMatchObject({ code: 'BUS_CLOSED' });
      expect(requester.size).toBe(0);
      expect(await failure(firstValueFrom(client.send('never', {})))).toMatchObject({ code: 'BUS_CLOSED' });
    }),
  );

  it(
    'whose handler runs too long are answered with the error',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Orders {
        @MessagePattern('slow', { timeoutMs: 100 })
        slow(@Ctx() context: EventBusContext): Promise<void> {
          return new Promise((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }));
        }
        @MessagePattern('endless', { timeoutMs: 100 })
        endless(): Observable<never> {
          return NEVER;
        }
      }
      await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      expect(await failure(lastValueFrom(client.send('slow', {})))).toMatchObject({ code: 'HANDLER_TIMEOUT' });
      expect(await failure(lastValueFrom(client.send('endless', {})))).toMatchObject({ code: 'HANDLER_TIMEOUT' });
    }),
  );

  it(
    'that run when the application closes are answered',
    withMicroservices(url, async (lab) => {
      const started = new Log<number>('starts');
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        async place(@Payload() n: number): Promise<number> {
          started.add(n);
          await sleep(200);
          return n;
        }
      }
      const { app } = await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      const answers = Promise.all([1, 2, 3].map((n) => firstValueFrom(client.send('orders.place', n))));
      await started.reach(3);
      await app.close();
      expect(await answers).toEqual([1, 2, 3]);
    }),
  );

  it(
    'that cannot be routed as they are written fail the boot, all at once',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Orders {
        @MessagePattern('orders.*')
        all(): void {}
        @MessagePattern('orders.place')
        one(): void {}
        @MessagePattern('orders.place')
        two(): void {}
        @MessagePattern('orders.typo', { concurency: 2 })
        typo(): void {}
        @MessagePattern('orders.grouped', { group: 'x' })
        grouped(): void {}
      }
      const error = (await failure(lab.serve({ controllers: [Orders] }))) as Error;
      expect(error).toMatchObject({ code: 'CONFIGURATION' });
      expect(error.message).toContain(`"orders.*" has the wildcard "*"`);
      expect(error.message).toContain(`@MessagePattern('orders.place') is there twice`);
      expect(error.message).toContain('Did you mean "concurrency"?');
      expect(error.message).toContain('group is for events');
      @Controller()
      class Expressions {
        @MessagePattern(/orders/)
        all(): void {}
      }
      expect(await failure(lab.serve({ controllers: [Expressions] }))).toMatchObject({ code: 'CONFIGURATION' });
    }),
  );
});
