import 'reflect-metadata';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { expect, it } from '@jest/globals';
import {
  Body,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  Get,
  HttpCode,
  Injectable,
  Param,
  ParseIntPipe,
  Post,
  Query,
  type Type,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { IsInt, IsString } from 'class-validator';
import { type DeadLetter, EventBusService, type EventContext, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { type Lab, type LabApp, withLab } from '../support/lab.js';

class OrderDto {
  @IsString()
  id!: string;
  @IsInt()
  n!: number;
}

const TopicOf = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  [context.getType(), context.switchToRpc().getContext<EventContext>().topic].join(' '),
);
const Field = createParamDecorator(
  (name: string, context: ExecutionContext) => context.switchToRpc().getData<Record<string, unknown>>()[name],
);

async function buried({ deadLetters }: LabApp, group: string): Promise<DeadLetter> {
  await until(`a dead letter of ${group}`, async () => (await deadLetters.count(group)) > 0);
  return (await deadLetters.list(group))[0] as DeadLetter;
}

function memory(test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return withLab(undefined, test);
}

it(
  '@Payload, its fields, @Ctx and custom decorators, in any order',
  memory(async (lab) => {
    const seen = new Log<readonly unknown[]>('events');
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*')
      swapped(@Ctx() context: EventContext, @Payload() payload: unknown): void {
        seen.add(['swapped', context.attempt, payload]);
      }
      @OnEvent('orders.*')
      fields(
        @Payload('id') id: string,
        @Payload('n', ParseIntPipe) n: number,
        @Payload('nothing') nothing: unknown,
      ): void {
        seen.add(['fields', id, n, nothing]);
      }
      @OnEvent('orders.*')
      custom(@TopicOf() topic: string, @Field('id') id: string, @Payload() payload: unknown): void {
        seen.add(['custom', topic, id, payload]);
      }
      @OnEvent('orders.*')
      mixed(payload: unknown, @TopicOf() topic: string): void {
        seen.add(['mixed', payload, topic]);
      }
      @OnEvent('orders.*')
      natural(@Payload() payload: unknown, @Ctx() context: EventContext): void {
        seen.add(['natural', payload, context.topic]);
      }
      @OnEvent('orders.*')
      half(@Payload('id') id: string, context: EventContext): void {
        seen.add(['half', id, context.topic]);
      }
    }
    const { bus } = await lab.boot({ providers: [OrderListener] });
    const payload = { id: '7', n: '42' };
    await bus.publish('orders.created', payload);
    const byName = Object.fromEntries((await seen.settle(6)).map(([name, ...rest]) => [name, rest]));
    expect(byName).toEqual({
      swapped: [1, payload],
      fields: ['7', 42, undefined],
      custom: ['rpc orders.created', '7', payload],
      mixed: [payload, 'rpc orders.created'],
      natural: [payload, 'orders.created'],
      half: ['7', 'orders.created'],
    });
  }),
);

it(
  'a pipe of a field refuses: dead as validation',
  memory(async (lab) => {
    @Injectable()
    class OrderListener {
      @OnEvent('orders.*')
      on(@Payload('n', ParseIntPipe) _n: number): void {}
    }
    const app = await lab.boot({ providers: [OrderListener] });
    await app.bus.publish('orders.created', { n: 'x' });
    expect(await buried(app, `${lab.service}.OrderListener.on`)).toMatchObject({ reason: 'validation', attempts: 1 });
  }),
);

function validated(where: 'class' | 'method', calls: Log<OrderDto>): Type {
  const pipes = UsePipes(new ValidationPipe({ transform: true, whitelist: true }));
  class OrderListener {
    @OnEvent('orders.*')
    on(order: OrderDto, _context: EventContext): void {
      calls.add(order);
    }
  }
  Injectable()(OrderListener);
  if (where === 'class') pipes(OrderListener);
  else {
    const descriptor = Object.getOwnPropertyDescriptor(OrderListener.prototype, 'on') as PropertyDescriptor;
    pipes(OrderListener.prototype, 'on', descriptor);
  }
  return OrderListener;
}

it.each(['class', 'method'] as const)('ValidationPipe on the %s validates an undecorated DTO', async (where) => {
  await memory(async (lab) => {
    const calls = new Log<OrderDto>('orders');
    const app = await lab.boot({ providers: [validated(where, calls)] });
    await app.bus.publish('orders.created', { id: 7, n: 'x' });
    const letter = await buried(app, `${lab.service}.OrderListener.on`);
    expect(letter).toMatchObject({ reason: 'validation', attempts: 1, payload: { id: 7, n: 'x' } });
    expect(letter.error?.message).toMatch(/id must be a string.*n must be an integer/);
    await app.bus.publish('orders.created', { id: '7', n: 1, extra: true });
    const [order] = await calls.settle(1);
    expect(order).toBeInstanceOf(OrderDto);
    expect(order).toEqual({ id: '7', n: 1 });
  })();
});

it(
  'one method with @Get and @OnEvent answers HTTP and handles events',
  memory(async (lab) => {
    const seen = new Log<unknown>('calls');
    @Controller('orders')
    class OrderController {
      @Get(':id')
      @HttpCode(202)
      @OnEvent('orders.*')
      on(payload: unknown): string {
        seen.add(payload ?? 'from HTTP');
        return 'seen';
      }
    }
    const module = await lab.compile({ controllers: [OrderController] });
    const app = lab.track(module.createNestApplication());
    await app.listen(0, '127.0.0.1');
    const server = app.getHttpServer() as Server;
    if (!server.listening) await once(server, 'listening');
    const response = await fetch(`${await app.getUrl()}/orders/7`);
    expect([response.status, await response.text()]).toEqual([202, 'seen']);
    await app.get(EventBusService).publish('orders.created', { id: '7' });
    expect((await seen.settle(2))[1]).toEqual({ id: '7' });
  }),
);

it(
  'one method with @Post and @OnEvent takes its payload by @Body, and no context for @Query',
  memory(async (lab) => {
    const seen = new Log<readonly unknown[]>('calls');
    @Controller('orders')
    class OrderController {
      @Post()
      @OnEvent('orders.*')
      on(@Body() body: unknown, @Query() query: unknown): void {
        seen.add([body, typeof query]);
      }
    }
    const { bus } = await lab.boot({ controllers: [OrderController] });
    await bus.publish('orders.created', { id: '7' });
    expect(await seen.settle(1)).toEqual([[{ id: '7' }, 'undefined']]);
  }),
);

it(
  "a method's HTTP parameters do not reach its events",
  memory(async (lab) => {
    const seen = new Log<readonly unknown[]>('calls');
    class OrderController {
      on(payload: unknown, context: unknown, id: unknown): void {
        seen.add([payload, (context as EventContext).topic, id]);
      }
    }
    Param('id')(OrderController.prototype, 'on', 2);
    const descriptor = Object.getOwnPropertyDescriptor(OrderController.prototype, 'on') as PropertyDescriptor;
    OnEvent('orders.*')(OrderController.prototype, 'on', descriptor);
    Controller('orders')(OrderController);
    const { bus } = await lab.boot({ controllers: [OrderController] });
    await bus.publish('orders.created', 1);
    expect(await seen.settle(1)).toEqual([[1, 'orders.created', undefined]]);
  }),
);
