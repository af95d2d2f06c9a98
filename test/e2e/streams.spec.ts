import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  type CallHandler,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseFilters,
  UseInterceptors,
} from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { type ConfirmChannel, connect } from 'amqplib';
import { from, lastValueFrom, type Observable, of, range, toArray } from 'rxjs';
import { type EventBusModuleOptions, EventBusService, OnCommand } from '../../lib/index.js';
import { EventBusClient } from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { withMicroservices } from '../support/microservice.lab.js';
import { closedPort, TcpProxy, withPort } from '../support/tcp-proxy.js';

const isRabbit = await isReachable(RABBITMQ);
const onRabbit = isRabbit ? describe : describe.skip;
const TRANSPORTS = [['memory', 'memory:'], ...(isRabbit ? [['RabbitMQ', RABBITMQ.url]] : [])];

async function readAll<T>(values: AsyncIterable<T>, into: T[] = []): Promise<readonly T[]> {
  for await (const value of values) into.push(value);
  return into;
}

const numbers = (to: number) => Array.from({ length: to }, (_, n) => n);

/** A handler that counts for ever, and what became of it. */
function endless() {
  const told = { given: 0, ended: 0 };
  @Injectable()
  class Endless {
    @OnCommand('endless')
    async *endless(): AsyncGenerator<number> {
      try {
        for (;;) yield told.given++;
      } finally {
        told.ended++;
      }
    }
  }
  return { told, Endless };
}

describe.each(TRANSPORTS)('answers in parts on %s', (_, url = '') => {
  it(
    '10 000 in order, and of two readers each its own',
    withLab(url, async (lab) => {
      @Injectable()
      class Counter {
        @OnCommand('count')
        async *count(to: number): AsyncGenerator<number> {
          yield* numbers(to);
        }
      }
      const { bus } = await lab.boot({ providers: [Counter] });
      const reading = [10_000, 1_000].map((to) => readAll(bus.requestStream<number>('count', to)));
      expect(await Promise.all(reading)).toEqual([numbers(10_000), numbers(1_000)]);
      expect(bus.stats().pendingRequests).toBe(0);
    }),
  );

  it.each(['msgpack', 'structured'] as const)('by %s', async (serializer) => {
    await withLab(url, async (lab) => {
      const rows = [{ at: 1, name: 'a' }, null, [1, 'b'], 'text', 0];
      @Injectable()
      class Rows {
        @OnCommand('rows')
        async *rows(): AsyncGenerator<unknown> {
          yield* rows;
        }
      }
      const options: EventBusModuleOptions = { serializer };
      const { bus } = await lab.boot({ providers: [Rows], options });
      expect(await readAll(bus.requestStream('rows'))).toEqual(rows);
    })();
  });

  it(
    'through interceptors and filters: the values as they come, errors as the filter makes them',
    withLab(url, async (lab) => {
      const told = { given: 0 };
      const caught = new Log<unknown>('errors');
      @Injectable()
      class Passes implements NestInterceptor {
        intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
          return next.handle();
        }
      }
      @Catch()
      class Handles implements ExceptionFilter {
        catch(error: Error, _host: ArgumentsHost): string {
          caught.add(error.message);
          return 'as the filter says';
        }
      }
      @Injectable()
      @UseInterceptors(Passes)
      class Rows {
        @OnCommand('rows')
        async *rows(to: number): AsyncGenerator<number> {
          for (; told.given < to; told.given++) yield told.given;
        }
        @OnCommand('values')
        values(): Observable<number> {
          return of(1, 2, 3);
        }
        @OnCommand('plain')
        plain(): number {
          return 7;
        }
        @UseFilters(Handles)
        @OnCommand('fails')
        async *fails(): AsyncGenerator<number> {
          yield 1;
          throw new Error('in between');
        }
        @UseFilters(Handles)
        @OnCommand('fails.at.once')
        failsAtOnce(): number {
          throw new Error('at once');
        }
      }
      const { bus } = await lab.boot({ providers: [Passes, Rows] });
      const rows = bus.requestStream<number>('rows', 1_000, { window: 5 });
      await rows.next();
      await quiet();
      expect(told.given).toBeLessThanOrEqual(6);
      expect(await readAll(rows)).toEqual(numbers(1_000).slice(1));
      expect(await readAll(bus.requestStream('values'))).toEqual([1, 2, 3]);
      expect(await bus.request('values')).toBe(3);
      expect(await readAll(bus.requestStream('plain'))).toEqual([7]);
      expect(await readAll(bus.requestStream('fails'))).toEqual([1, 'as the filter says']);
      expect(await bus.request('fails.at.once')).toBe('as the filter says');
      expect(caught.items).toEqual(['in between', 'at once']);
    }),
  );

  it(
    'between the bus and @nestjs/microservices, both ways',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Old {
        @MessagePattern('old.count')
        count(@Payload() to: number): Observable<number> {
          return range(0, to);
        }
        @MessagePattern('old.iterate')
        async *iterate(@Payload() to: number): AsyncGenerator<number> {
          yield* numbers(to);
        }
      }
      @Injectable()
      class New {
        @OnCommand('new.count')
        async *count(to: number): AsyncGenerator<number> {
          yield* numbers(to);
        }
      }
      await lab.serve({ controllers: [Old] });
      const options = { transport: lab.transport, service: `${lab.lab.service}.new` };
      const { bus } = await lab.lab.boot({ providers: [New], options });
      expect(await readAll(bus.requestStream('old.count', 500))).toEqual(numbers(500));
      expect(await bus.request('old.count', 5)).toBe(4);
      expect(await readAll(bus.requestStream('old.iterate', 500))).toEqual(numbers(500));
      const client = lab.client();
      for (const pattern of ['new.count', 'old.count', 'old.iterate'])
        expect(await lastValueFrom(client.send(pattern, 500).pipe(toArray()))).toEqual(numbers(500));
      expect(client).toBeInstanceOf(EventBusClient);
    }),
  );

  it(
    'for rxjs: who unsubscribes ends the handler',
    withLab(url, async (lab) => {
      const { told, Endless } = endless();
      const { bus } = await lab.boot({ providers: [Endless] });
      const seen: unknown[] = [];
      await new Promise<void>((resolve, reject) => {
        const subscription = from(bus.requestStream<number>('endless')).subscribe({
          next: (n) => {
            seen.push(n);
            if (n < 9) return;
            subscription.unsubscribe();
            resolve();
          },
          error: reject,
        });
      });
      await until('it has ended', () => told.ended === 1);
      expect(seen).toEqual(numbers(10));
    }),
  );

  it(
    'a reader that closes ends the handler of another process',
    withMicroservices(url, async (lab) => {
      const { told, Endless } = endless();
      const { transport } = lab;
      await lab.lab.boot({ providers: [Endless], options: { transport } });
      const client = lab.client();
      const seen = new Log<unknown>('values');
      const failed = new Promise((resolve) => client.send('endless', {}).subscribe({ next: seen.add, error: resolve }));
      await seen.reach(100);
      await client.close();
      expect(await failed).toMatchObject({ code: 'BUS_CLOSED' });
      await until('it has ended', () => told.ended === 1);
    }),
  );
});

describe.each(TRANSPORTS)('answers in parts, when their application closes, on %s', (_, url = '') => {
  it(
    'end by its deadline; the reader has what came, and is told that more is missing',
    withMicroservices(url, async (lab) => {
      const { told, Endless } = endless();
      const options = { transport: lab.transport, shutdown: { deadlineMs: 300 } };
      const { app } = await lab.lab.boot({ providers: [Endless], options });
      // memory is gone with the application that has it
      const asking =
        url === 'memory:' ? app : (await lab.lab.boot({ options: { service: `${lab.lab.service}.asks` } })).app;
      const seen = new Log<unknown>('values');
      const reading = (async () => {
        for await (const n of asking.get(EventBusService, { strict: false }).requestStream('endless')) seen.add(n);
      })();
      const outcome = Promise.allSettled([reading]);
      await seen.reach(100);
      const began = Date.now();
      await app.close();
      expect(Date.now() - began).toBeLessThan(3_000);
      expect(await outcome).toMatchObject([{ status: 'rejected', reason: { code: 'STREAM_BROKEN', retryable: true } }]);
      expect(told.ended).toBe(1);
      expect(seen.items).toEqual(numbers(seen.length));
    }),
  );
});

async function cutLab(test: (lab: Lab, cut: () => void) => Promise<void>): Promise<void> {
  const port = await closedPort();
  const proxy = await new TcpProxy(RABBITMQ.url).listen(port);
  try {
    await withLab(withPort(RABBITMQ.url, port), (lab) => test(lab, () => proxy.drop()))();
  } finally {
    await proxy.close();
  }
}

onRabbit('answers in parts, when connections are lost', () => {
  it('that of the reader: it rejects with ConnectionError, and the handler elsewhere is ended', async () => {
    await cutLab(async (lab, cut) => {
      const { told, Endless } = endless();
      const handling = await lab.boot({ providers: [Endless], options: { transport: RABBITMQ.url } });
      const asking = await lab.boot({ options: { service: `${lab.service}.asks` } });
      const seen: unknown[] = [];
      const reading = (async () => {
        for await (const n of asking.bus.requestStream('endless')) {
          seen.push(n);
          if (seen.length === 100) cut();
        }
      })();
      await expect(reading).rejects.toMatchObject({ code: 'CONNECTION', retryable: true });
      await until('it has ended', () => told.ended === 1);
      expect(seen).toEqual(numbers(seen.length));
      expect(asking.bus.stats().pendingRequests).toBe(0);
      await until('it is back', () => asking.bus.status === 'up');
      const again = asking.bus.requestStream<number>('endless');
      expect((await again.next()).done).toBe(false);
      await again.return();
      expect(handling.bus.status).toBe('up');
    });
  });

  it('that of the handler: it is ended, once, and the reader is told; nothing begins again', async () => {
    await cutLab(async (lab, cut) => {
      const { told, Endless } = endless();
      await lab.boot({ providers: [Endless] });
      const options = { transport: RABBITMQ.url, service: `${lab.service}.asks` };
      const asking = await lab.boot({ options });
      const seen: unknown[] = [];
      const reading = (async () => {
        for await (const n of asking.bus.requestStream('endless')) {
          seen.push(n);
          if (seen.length === 100) cut();
        }
      })();
      await expect(reading).rejects.toMatchObject({ code: 'STREAM_BROKEN', retryable: true });
      await until('it has ended', () => told.ended >= 1);
      expect(seen).toEqual(numbers(seen.length));
      const { given } = told;
      await quiet(500); // in which it would be delivered again
      expect(told).toEqual({ given, ended: 1 });
    });
  });
});

onRabbit('answers for clients without this library', () => {
  it(
    'are one, unless they ask for parts; what they tell an address that they have no business with is harmless',
    withLab(RABBITMQ.url, async (lab) => {
      @Injectable()
      class Rows {
        @OnCommand('rows')
        async *rows(to: number): AsyncGenerator<number> {
          yield* numbers(to);
        }
      }
      const { bus } = await lab.boot({ providers: [Rows] });
      const { groups } = bus.describe() as { readonly groups: readonly { readonly name: string }[] };
      const queue = groups[0]?.name ?? '';
      const connection = await connect(RABBITMQ.url);
      try {
        const channel: ConfirmChannel = await connection.createConfirmChannel();
        const answers = new Log<readonly [type: unknown, body: string, replyTo: string]>('answers');
        const reply = 'amq.rabbitmq.reply-to';
        await channel.consume(
          reply,
          (m) =>
            m && answers.add([m.properties.type, m.content.toString(), String(m.properties.replyTo ?? '')] as const),
          { noAck: true },
        );
        const ask = (headers: Record<string, unknown>) =>
          channel.publish('', queue, Buffer.from('5'), {
            contentType: 'application/json',
            correlationId: 'c-1',
            replyTo: reply,
            headers,
          });
        ask({});
        expect(await answers.reach(1)).toEqual([['reply', '4', '']]);
        for (const credit of ['many', 1.5, null, { n: 1 }]) ask({ 'eb-credit': credit });
        await answers.reach(5);
        expect(answers.items.every(([type, body]) => type === 'reply' && body === '4')).toBe(true);
        ask({ 'eb-credit': -7 });
        await answers.reach(6);
        const [type, body, address] = answers.items.at(-1) ?? [];
        expect([type, body, address?.startsWith(`${reply}.`)]).toEqual(['reply.part', '0', true]);
        const tell = (content: string, options: object) =>
          channel.publish('', address ?? '', Buffer.from(content), { correlationId: 'c-1', ...options });
        for (const content of ['{', '', '-1', '1e9', '"9"', 'null', 'x'.repeat(100_000)])
          tell(content, { type: 'request.more' });
        tell('null', { type: 'request.cancel', correlationId: 'unknown' });
        tell('null', { type: 'request.nonsense', headers: { 'eb-credit': 9 } });
        await channel.waitForConfirms();
        expect(await answers.settle(6)).toHaveLength(6);
        tell('999999999999999', { type: 'request.more' });
        await answers.reach(11);
        expect(answers.items.slice(6).map(([, text]) => text)).toEqual(['1', '2', '3', '4', 'null']);
        expect(await readAll(bus.requestStream('rows', 3))).toEqual([0, 1, 2]);
      } finally {
        await connection.close();
      }
    }),
  );
});
