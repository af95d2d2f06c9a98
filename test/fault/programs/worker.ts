import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type EventContext, OnEvent } from '../../../lib/index.js';
import { go, openLedger, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, tellProbe, type Work, work } from './working.js';

// Handles until SIGTERM. With autoStart: false it stands by until it is told to go.
const settings = readSettings<WorkerSettings>();
const ledger = openLedger(settings.ledger);

@Injectable()
class WorkListener {
  @OnEvent('work.*', { group: settings.group })
  async on(payload: Work, { attempt }: EventContext): Promise<void> {
    await work(payload, attempt, settings, ledger);
    tellProbe(payload);
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'worker',
      transport: settings.url,
      exchange: settings.exchange,
      autoStart: settings.autoStart ?? true,
      consume: consumeOptions(settings),
      shutdown: { deadlineMs: settings.deadlineMs ?? 10_000 },
    }),
  ],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn', 'log'] });
app.enableShutdownHooks([], { useProcessExit: true });
process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go' && settings.autoStart === false) void go(app.get(EventBusService));
});
process.send?.({ kind: 'ready' });
