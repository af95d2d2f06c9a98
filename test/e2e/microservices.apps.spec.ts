import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  type ArgumentsHost,
  BadRequestException,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Get,
  Inject,
  type NestInterceptor,
  type PipeTransform,
} from '@nestjs/common';
import { type ClientProxy, ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { connect } from 'amqplib';
import { firstValueFrom, lastValueFrom, type Observable, of, tap } from 'rxjs';
import { EventBusModule, fixed, OnEvent } from '../../lib/index.js';
import {
  EVENT_BUS_TRANSPORT_ID,
  EventBusClient,
  EventBusExceptionFilter,
  EventBusServer,
} from '../../lib/microservices/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withMicroservices } from '../support/microservice.lab.js';

interface Order {
  readonly n: number;
}

const TRANSPORTS = [['memory', 'memory:'], ...((await isReachable(RABBITMQ)) ? [['RabbitMQ', RABBITMQ.url]] : [])];
const onRabbit = TRANSPORTS.length > 1 ? describe : describe.skip;

describe.each(TRANSPORTS)('an application with @nestjs/microservices on %s', (_, url = '') => {
  it(
    'is hybrid: HTTP, an injected client, an event bus of its own beside it, and the running handlers are awaited',
    withMicroservices(url, async (lab) => {
      const seen = new Log<string>('events');
      @Controller()
      class Orders {
        constructor(@Inject('ORDERS') private readonly client: ClientProxy) {}
        @Get('place')
        place(): Observable<number> {
          return this.client.send('orders.place', 41);
        }
        @MessagePattern('orders.place', EVENT_BUS_TRANSPORT_ID)
        async onPlace(@Payload() n: number): Promise<number> {
          await lastValueFrom(this.client.emit('orders.placed', { n }));
          return n + 1;
        }
        @EventPattern<string>('orders.placed')
        async onPlaced(@Payload() { n }: Order): Promise<void> {
          await sleep(100);
          seen.add(`microservice ${n}`);
        }
        @OnEvent('orders.placed')
        on({ n }: Order): void {
          seen.add(`bus ${n}`);
        }
      }
      const options = lab.options();
      const module = await Test.createTestingModule({
        controllers: [Orders],
        imports: [
          EventBusModule.forRoot(options),
          ClientsModule.register([{ name: 'ORDERS', customClass: EventBusClient, options }]),
        ],
      })
        .setLogger(false as never)
        .compile();
      const app = module.createNestApplication();
      const server = new EventBusServer(options);
      app.connectMicroservice({ strategy: server }).useGlobalFilters(new EventBusExceptionFilter());
      await app.startAllMicroservices();
      await app.listen(0, '127.0.0.1');
      lab.remember(server);
      lab.lab.remember(app);
      const answer = await fetch(`${await app.getUrl()}/place`);
      expect(await answer.text()).toBe('42');
      await seen.reach(1);
      await app.close();
      expect([...seen.items].sort()).toEqual(['bus 41', 'microservice 41']);
      expect(server.unwrap().status).toBe('closed');
      expect(lab.lab.lines.filter((line) => /^(warn|error)/.test(line))).toEqual([]);
    }),
  );

  it(
    'inherits global guards, pipes, interceptors and filters where Nest is told so, and HTTP stays as it was',
    withMicroservices(url, async (lab) => {
      const seen = new Log<string>('calls');
      const guard: CanActivate = {
        canActivate: (context: ExecutionContext) => {
          if (context.getType() !== 'rpc') return true;
          const { n } = context.switchToRpc().getData<Order>();
          if (n === 0) throw new ForbiddenException();
          return true;
        },
      };
      const pipe: PipeTransform = {
        transform: (value: unknown, { type }) => {
          const order = value as Order;
          if (type !== 'body' || typeof order?.n !== 'number') return value;
          if (order.n < 0) throw new BadRequestException();
          return { n: order.n * 10 };
        },
      };
      const interceptor: NestInterceptor = {
        intercept: (_context: ExecutionContext, next: CallHandler) => next.handle().pipe(tap(() => seen.add('after'))),
      };
      class Odd extends Error {}
      @Catch(Odd)
      class OddFilter implements ExceptionFilter {
        catch(_error: Odd, _host: ArgumentsHost): Observable<string> {
          return of('filtered');
        }
      }
      @Controller()
      class Orders {
        @Get('broken')
        broken(): void {
          throw new BadRequestException('so it is');
        }
        @EventPattern<string>('orders.*', { retry: fixed({ attempts: 2, delayMs: 20 }) })
        on(@Payload() { n }: Order): void {
          if (n === 30) throw new Odd();
          seen.add(`handled ${n}`);
        }
      }
      const module = await Test.createTestingModule({ controllers: [Orders] })
        .setLogger(false as never)
        .compile();
      const app = module.createNestApplication();
      app.useGlobalGuards(guard);
      app.useGlobalPipes(pipe);
      app.useGlobalInterceptors(interceptor);
      app.useGlobalFilters(new EventBusExceptionFilter(app.getHttpAdapter()), new OddFilter());
      const server = new EventBusServer(lab.options());
      app.connectMicroservice({ strategy: server }, { inheritAppConfig: true });
      await app.startAllMicroservices();
      await app.listen(0, '127.0.0.1');
      lab.onEnd(() => app.close());
      lab.remember(server);
      const client = lab.client();
      const group = `${lab.lab.service}.orders.any`;
      await lastValueFrom(client.emit('orders.created', { n: 1 }));
      await seen.reach(2);
      expect(seen.items).toEqual(['handled 10', 'after']);
      for (const n of [0, -1, 3]) await lastValueFrom(client.emit('orders.created', { n }));
      await until('two are dead', async () => (await server.deadLetters.count(group)) === 2);
      await until('one was filtered', () => server.unwrap().stats().groups[group]?.handled === 2);
      const letters = await server.deadLetters.list(group);
      expect(letters.map(({ payload, reason, attempts }) => [payload, reason, attempts])).toEqual(
        expect.arrayContaining([
          [{ n: 0 }, 'forbidden', 1],
          [{ n: -1 }, 'validation', 1],
        ]),
      );
      const answer = await fetch(`${await app.getUrl()}/broken`);
      expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([400, 'so it is']);
    }),
  );

  it(
    'says once what it cannot know without EventBusExceptionFilter; nothing is lost for that',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*', { retry: fixed({ attempts: 2, delayMs: 20 }) })
        on(): void {
          throw new BadRequestException();
        }
      }
      const server = new EventBusServer(lab.options());
      const module = await Test.createTestingModule({ controllers: [Orders] })
        .setLogger(false as never)
        .compile();
      const app = module.createNestMicroservice({ strategy: server });
      await app.listen();
      lab.onEnd(() => app.close());
      lab.remember(server);
      await lastValueFrom(lab.client().emit('orders.created', { n: 1 }));
      const group = `${lab.lab.service}.orders.any`;
      await until('it is dead', async () => (await server.deadLetters.count(group)) === 1);
      expect(await server.deadLetters.list(group)).toMatchObject([
        { attempts: 2, reason: 'attempts-exhausted', error: { message: 'Internal server error' } },
      ]);
      expect(lab.lab.lines.filter((line) => line.includes('EventBusExceptionFilter'))).toHaveLength(1);
    }),
  );

  it(
    'tells its status, and closes when it cannot start',
    withMicroservices(url, async (lab) => {
      @Controller()
      class Orders {
        @EventPattern<string>('orders.*')
        on(): void {}
      }
      const client = lab.client();
      const states: string[] = [];
      client.status.subscribe((state) => states.push(state));
      await client.connect();
      await until('it is connected', () => states.at(-1) === 'connected');
      const { app, server } = await lab.serve({ controllers: [Orders] });
      expect(await firstValueFrom(server.status)).toBe('connected');
      await app.close();
      const bad = new EventBusServer({ ...lab.options(), consume: { concurrency: -1 } });
      const told = new Log<unknown>('errors');
      await bad.listen((error) => told.add(error));
      expect(told.items).toMatchObject([{ code: 'CONFIGURATION' }]);
      await bad.close();
      expect(() => bad.unwrap()).toThrow('listen() comes first');
      await expect(new EventBusClient({ request: { timeoutMs: 0 } }).connect()).rejects.toMatchObject({
        code: 'CONFIGURATION',
      });
    }),
  );
});

onRabbit('a request from anybody on RabbitMQ', () => {
  it(
    'is answered as AMQP has it, and never into a queue that it names',
    withMicroservices(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('requests');
      @Controller()
      class Orders {
        @MessagePattern('orders.place')
        place(@Payload() order: unknown): string {
          seen.add(order);
          return 'done';
        }
      }
      await lab.serve({ controllers: [Orders] });
      const queue = `${lab.lab.exchange}.command.orders.place`;
      const connection = await connect(RABBITMQ.url);
      try {
        const channel = await connection.createChannel();
        const answers = new Log<readonly [string, string, string]>('answers');
        await channel.consume(
          'amq.rabbitmq.reply-to',
          (message) => {
            const { correlationId, type } = message?.properties ?? {};
            answers.add([correlationId as string, type as string, message?.content.toString() ?? '']);
          },
          { noAck: true },
        );
        const ask = (body: string, properties: object): boolean =>
          channel.sendToQueue(queue, Buffer.from(body), { contentType: 'application/json', ...properties });
        ask('{"n":1}', { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'a' });
        ask('{"n":', { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'b' });
        await answers.reach(2);
        expect(answers.items[0]).toEqual(['a', 'reply', '"done"']);
        expect(answers.items[1]).toEqual(['b', 'reply.error', expect.stringContaining('UNDECODABLE')]);
        const { queue: victim } = await channel.assertQueue('', { exclusive: true });
        ask('{"n":2}', { replyTo: victim, correlationId: 'c' });
        await until('it is refused', () => lab.lab.lines.some((line) => line.includes('reply address')));
        expect(await seen.settle(1)).toEqual([{ n: 1 }]);
        expect(await channel.checkQueue(victim)).toMatchObject({ messageCount: 0 });
      } finally {
        await connection.close();
      }
    }),
  );
});
