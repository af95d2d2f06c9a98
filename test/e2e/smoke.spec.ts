import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventBusModule, EventBusService, OnEvent, type EventContext, fixed, DeadLetterService } from '../../lib/index.js';

const seen: string[] = [];
@Injectable()
class Listener {
  @OnEvent('orders.*')
  on(payload: { n: number }, context: EventContext): void {
    seen.push(`${context.topic} ${payload.n} ${context.attempt}`);
  }
  @OnEvent('orders.#', { retry: fixed({ attempts: 2, delayMs: 10 }) })
  bad(_payload: { n: number }): void {
    throw new Error('boom');
  }
}

it('works', async () => {
  @Module({ imports: [EventBusModule.forRoot({ service: 'smoke', transport: process.env.URL ?? 'memory:' })], providers: [Listener] })
  class App {}
  const app = await Test.createTestingModule({ imports: [App] }).compile();
  await app.init();
  const bus = app.get(EventBusService);
  expect(await bus.publish('orders.created', { n: 1 })).toMatchObject({ state: 'confirmed', routed: true });
  expect(await bus.publish('nobody', { n: 1 })).toMatchObject({ state: 'confirmed', routed: false });
  await new Promise((r) => setTimeout(r, 100));
  expect(seen).toEqual(['orders.created 1 1']);
  expect(await app.get(DeadLetterService).list('smoke.Listener.bad')).toMatchObject([{ reason: 'attempts-exhausted', attempts: 2 }]);
  console.log(JSON.stringify(bus.describe()), bus.stats());
  await app.close();
});
