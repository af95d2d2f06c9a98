import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type EventContext, OnEvent } from '../../../lib/index.js';
import { PublisherLoad } from './publishing.js';
import { go, openLedger, type PublisherSettings, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, type Work, work } from './working.js';

// Publishes and handles at the same time, as most services do, from `go` to SIGTERM.
const settings = readSettings<PublisherSettings & WorkerSettings>();
const ledger = openLedger(settings.ledger);

@Injectable()
class WorkListener {
  @OnEvent('work.*', { group: settings.group })
  async on(payload: Work, { attempt }: EventContext): Promise<void> {
    await work(payload, attempt, settings, ledger);
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'service',
      transport: settings.url,
      exchange: settings.exchange,
      autoStart: settings.autoStart ?? true,
      publish: { window: settings.window, timeoutMs: settings.timeoutMs },
      consume: consumeOptions(settings),
      shutdown: { deadlineMs: settings.deadlineMs ?? 10_000 },
    }),
  ],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn', 'log'] });
app.enableShutdownHooks([], { useProcessExit: true });
const bus = app.get(EventBusService);
const load = new PublisherLoad(bus, settings, ledger);
process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'stop') load.stop();
  if (kind !== 'go') return;
  if (settings.autoStart === false) void go(bus);
  void load.run().then((end) => process.send?.({ kind: 'finished', ...end }));
});
process.send?.({ kind: 'ready' });
