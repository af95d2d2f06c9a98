import 'reflect-metadata';
import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, OnEvent } from '../../../lib/index.js';

// Publishes and handles until SIGTERM ends it. Its ledger says what was confirmed, and what was handled.
const { TARGET = '', SERVICE = '', EXCHANGE = '', LEDGER = '' } = process.env;
const note = (line: string): void => appendFileSync(LEDGER, `${line}\n`);

@Injectable()
class WorkListener {
  @OnEvent('work.*', { concurrency: 5 })
  async on(n: number): Promise<void> {
    await pause(15);
    note(`handled ${n}`);
  }
}

@Module({
  imports: [EventBusModule.forRoot({ service: SERVICE, exchange: EXCHANGE, transport: TARGET })],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
app.enableShutdownHooks();
const bus = app.get(EventBusService);

const publish = async (first: number): Promise<void> => {
  for (let n = first; ; n += 20) {
    const { routed } = await bus.publish('work.do', n);
    note(`${routed ? 'confirmed' : 'unrouted'} ${n}`);
    await pause(5);
  }
};
// each ends with the bus
await Promise.allSettled(Array.from({ length: 20 }, (_, first) => publish(first)));
note('ended');
