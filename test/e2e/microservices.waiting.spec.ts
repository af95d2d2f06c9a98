import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { firstValueFrom, lastValueFrom, Observable, of, take, timer, toArray } from 'rxjs';
import { EventBusContext } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withMicroservices } from '../support/microservice.lab.js';

const TRANSPORTS = [['memory', 'memory:'], ...((await isReachable(RABBITMQ)) ? [['RabbitMQ', RABBITMQ.url]] : [])];

function codeOf({ reason }: AbortSignal): unknown {
  return (reason as { readonly code?: unknown }).code;
}

describe.each(TRANSPORTS)('messages for whose answer nobody waits any more, on %s', (_, url = '') => {
  it(
    'unsubscribed: their handlers are told, wherever they run, what they emitted is dropped, and what waits is not started',
    withMicroservices(url, async (lab) => {
      const started = new Log<number>('starts');
      const told = new Log<unknown>('told');
      const emitted = new Log<number>('events');
      @Controller()
      class Orders {
        @MessagePattern('orders.place', { concurrency: 1 })
        place(@Payload() n: number, @Ctx() context: EventBusContext): Promise<number> | number {
          started.add(n);
          context.emit('orders.placed', n);
          if (n === 3) return n;
          return new Promise((resolve) => {
            context.signal.addEventListener('abort', () => {
              told.add(codeOf(context.signal));
              resolve(n);
            });
          });
        }
        @EventPattern('orders.placed')
        on(@Payload() n: number): void {
          emitted.add(n);
        }
      }
      await lab.serve({ controllers: [Orders] });
      const client = lab.client();
      const seen: unknown[] = [];
      const [first, second] = [1, 2].map((n) => client.send('orders.place', n).subscribe((value) => seen.push(value)));
      await started.reach(1);
      first?.unsubscribe();
      second?.unsubscribe();
      await told.reach(1);
      expect(told.items).toEqual(['REQUEST_CANCELLED']);
      expect(await firstValueFrom(client.send('orders.place', 3))).toBe(3);
      expect(await emitted.settle(1)).toEqual([3]);
      expect([started.items, seen]).toEqual([[1, 3], []]);
    }),
  );

  it(
    'whose time is over: their handlers are told, and an Observable is unsubscribed',
    withMicroservices(url, async (lab) => {
      const told = new Log<unknown>('told');
      const emitted = new Log<string>('events');
      @Controller()
      class Orders {
        @MessagePattern('slow')
        slow(@Ctx() context: EventBusContext): Promise<void> {
          context.emit('orders.placed', 'slow');
          return new Promise((resolve) => {
            context.signal.addEventListener('abort', () => {
              told.add(codeOf(context.signal));
              resolve();
            });
          });
        }
        @MessagePattern('endless')
        endless(@Ctx() context: EventBusContext): Observable<never> {
          return new Observable(() => () => told.add(`unsubscribed: ${String(codeOf(context.signal))}`));
        }
        @MessagePattern('begun')
        begun(): Observable<number> {
          return timer(0, 150).pipe(take(5)); // each of them in time, and all of them not
        }
        @MessagePattern('quick')
        quick(@Ctx() context: EventBusContext): Observable<string> {
          context.emit('orders.placed', 'quick');
          return of('quick');
        }
        @EventPattern('orders.placed')
        on(@Payload() name: string): void {
          emitted.add(name);
        }
      }
      await lab.serve({ controllers: [Orders] });
      const client = lab.client({ request: { timeoutMs: 400 } });
      const late = { code: 'REQUEST_TIMEOUT' };
      await expect(lastValueFrom(client.send('slow', {}))).rejects.toMatchObject(late);
      await expect(lastValueFrom(client.send('endless', {}))).rejects.toMatchObject(late);
      expect((await told.settle(2)).map(String).toSorted((a, b) => a.localeCompare(b))).toEqual([
        'REQUEST_TIMEOUT',
        'unsubscribed: REQUEST_TIMEOUT',
      ]);
      expect(await lastValueFrom(client.send('quick', {}))).toBe('quick');
      expect(await emitted.settle(1)).toEqual(['quick']);
      expect(await lastValueFrom(client.send('begun', {}).pipe(toArray()))).toEqual([0, 1, 2, 3, 4]);
    }),
  );
});
