import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ConfigurationError,
  EventBusModule,
  EventBusService,
  type EventContext,
  loadEventBusConfig,
  OnEvent,
} from '../../lib/index.js';

const at = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const config = await loadEventBusConfig(at('./event-bus.jsonc'), { environment: 'development' });
console.log('read:', JSON.stringify({ exchange: config.exchange, publish: config.publish, consume: config.consume }));

/** Fails once, so that the retries of the configuration can be seen. */
@Injectable()
class Invoices {
  readonly attempts: number[] = [];
  private done: () => void = () => undefined;
  readonly sent = new Promise<void>((resolve) => {
    this.done = resolve;
  });

  @OnEvent('invoices.*')
  onInvoice(_: unknown, { attempt }: EventContext): void {
    this.attempts.push(attempt);
    console.log(`attempt ${attempt}`);
    if (attempt === 1) throw new Error('the printer is out of paper');
    this.done();
  }
}

@Module({ imports: [EventBusModule.forRoot(config)], providers: [Invoices] })
class BillingModule {}

const app = await NestFactory.createApplicationContext(BillingModule, { logger: ['fatal'] });
await app.get(EventBusService).publish('invoices.due', { id: 7 });
await app.get(Invoices).sent;
await app.close();

console.log('\nA file with mistakes tells all of them at once, each with its place:');
let complaints: readonly string[] = [];
try {
  await loadEventBusConfig(at('./mistakes.jsonc'), { env: {} });
} catch (error) {
  if (!(error instanceof ConfigurationError)) throw error;
  complaints = error.problems;
  for (const complaint of complaints) console.log(`  ${complaint}`);
}
if (complaints.length !== 3) {
  console.error(`Expected 3 complaints; got ${complaints.length}.`);
  process.exitCode = 1;
}
console.log('sample finished');
