import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService } from '../../../lib/index.js';
import { PublisherLoad } from './publishing.js';
import { openLedger, type PublisherSettings, readSettings } from './settings.js';

// Publishes from `go` to `stop`, then tells how it went.
const settings = readSettings<PublisherSettings>();
const ledger = openLedger(settings.ledger);

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'publisher',
      transport: settings.url,
      exchange: settings.exchange,
      publish: { window: settings.window, timeoutMs: settings.timeoutMs },
      shutdown: { deadlineMs: settings.deadlineMs ?? 10_000 },
    }),
  ],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn', 'log'] });
app.enableShutdownHooks([], { useProcessExit: true });
const load = new PublisherLoad(app.get(EventBusService), settings, ledger);
process.on('message', ({ kind, probe }: { readonly kind: string; readonly probe?: number }) => {
  if (kind === 'go') void load.run().then((end) => process.send?.({ kind: 'finished', ...end }));
  else if (kind === 'stop') load.stop();
  else if (kind === 'probe') void load.probe(probe ?? 0);
  else if (kind === 'poison') void load.poison().then((id) => process.send?.({ kind: 'poisoned', id }));
});
process.send?.({ kind: 'ready' });
