import 'reflect-metadata';
import { dirname } from 'node:path';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type EventContext, OnEvent } from '../../../lib/index.js';
import { openLedger, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, type Work, work } from './working.js';

// Handles until an event crashes it, as faulty native code does. It stands by until it is told to go.
const settings = readSettings<WorkerSettings>();
const ledger = openLedger(settings.ledger);
// where a system leaves its memory dump, if it makes one
process.chdir(dirname(settings.ledger));

@Injectable()
class WorkListener {
  @OnEvent('work.*', { group: settings.group })
  async on(payload: Work, { attempt }: EventContext): Promise<void> {
    if ('poison' in payload) {
      ledger.write(`b ${payload.id} ${attempt}`);
      process.abort();
    }
    await work(payload, attempt, settings, ledger);
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'crasher',
      transport: settings.url,
      exchange: settings.exchange,
      autoStart: false,
      consume: consumeOptions(settings),
    }),
  ],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') void app.get(EventBusService).start();
});
process.send?.({ kind: 'ready' });
