import 'reflect-metadata';
import { type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, type EventBusModuleOptions, OnEvent } from '../../lib/index.js';
import type { OrderPlaced } from './payload.js';

const PATTERN = 'orders.*';
export const PREFETCH = 250;

/** Whoever counts what the decorated method has handled. */
@Injectable()
export class Sink {
  onOrder: (order: OrderPlaced) => void = () => undefined;
}

@Injectable()
class Listener {
  constructor(private readonly sink: Sink) {}

  @OnEvent(PATTERN, { group: 'bench', prefetch: PREFETCH, concurrency: PREFETCH })
  onOrder(order: OrderPlaced): void {
    this.sink.onOrder(order);
  }
}

export async function startApp(options: EventBusModuleOptions): Promise<INestApplicationContext> {
  @Module({
    imports: [EventBusModule.forRoot({ ...options, consume: { maxConcurrency: 1_000 } })],
    providers: [Listener, Sink],
  })
  class BenchmarkModule {}
  return NestFactory.createApplicationContext(BenchmarkModule, { logger: ['error'], abortOnError: false });
}
