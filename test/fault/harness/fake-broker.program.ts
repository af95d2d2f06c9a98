import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, OnEvent } from '../../../lib/index.js';

// A service in a process of its own, so that a test can see whether it lives: publishes until one event is handled, then
// waits for what may come of the connections that it has lost.
const { FAKE_BROKER_URL: url = '', AFTERMATH_MS = '0' } = process.env;

let onHandled = (): void => undefined;
const handled = new Promise<void>((resolve) => {
  onHandled = resolve;
});

@Injectable()
class OrderListener {
  @OnEvent('orders.*')
  on(): void {
    onHandled();
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'fake-broker-program',
      transport: { type: 'rabbitmq', url, heartbeatMs: 1_000, connectTimeoutMs: 1_000 },
      startup: { mode: 'background' },
    }),
  ],
  providers: [OrderListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
const bus = app.get(EventBusService);
let isHandled = false;
void handled.then(() => {
  isHandled = true;
});
while (!isHandled) {
  await bus.publish('orders.created', 1, { timeoutMs: 2_000, unroutable: 'ignore' }).catch(() => undefined);
  await Promise.race([handled, pause(500)]);
}
process.stdout.write('handled\n');
await pause(Number(AFTERMATH_MS));
process.stdout.write(`status ${bus.status}\n`);
await app.close();
process.stdout.write('closed\n');
