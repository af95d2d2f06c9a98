import 'reflect-metadata';
import { type INestApplicationContext, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type BusLogger,
  EventBusModule,
  type EventBusModuleOptions,
  EventBusService,
  type EventContext,
  MemoryInboxStore,
  OnEvent,
} from '../../../lib/index.js';
import { RabbitMqConnection } from '../../../lib/transports/rabbitmq/rabbitmq.connection.js';
import { resolveRabbitMqOptions } from '../../../lib/transports/rabbitmq/rabbitmq.options.js';
import { RabbitMqTransport } from '../../../lib/transports/rabbitmq/rabbitmq.transport.js';
import { ledgerLogger, openLedger, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, type Work, work } from './working.js';

export interface RenamedSettings extends WorkerSettings {
  /** How long an old queue has to be unused before it is removed. Default: that of the library. */
  readonly unusedMs?: number;
}

/** Opens or closes one version; it answers with the same when that is done. */
export interface RenamedOrder {
  readonly kind: 'open' | 'close';
  readonly version: number;
}

// All versions of a service, each of which renames its group once more, in one process: so they share what remembers
// which messages have been handled.
const settings = readSettings<RenamedSettings>();
const ledger = openLedger(settings.ledger);

const inbox = new MemoryInboxStore();
const apps = new Map<number, INestApplicationContext>();

function listener(version: number): Type {
  const group = `${settings.group}.${version}`;
  // all names that it had, the last one first
  const names = Array.from({ length: version }, (_, i) => `${settings.group}.${version - 1 - i}`);
  const previous = version > 0 ? { renamedFrom: names } : {};
  @Injectable()
  class WorkListener {
    @OnEvent('work.*', { group, idempotent: true, ...previous })
    async on(payload: Work, { attempt }: EventContext): Promise<void> {
      await work(payload, attempt, settings, ledger);
    }
  }
  return WorkListener;
}

function transport(logger: BusLogger): NonNullable<EventBusModuleOptions['transport']> {
  const { url, unusedMs } = settings;
  if (unusedMs === undefined) return url;
  const buffer = { messages: 100, bytes: 1_000_000, onFull: 'reject' } as const;
  const connection = new RabbitMqConnection(resolveRabbitMqOptions({ type: 'rabbitmq', url }), 'renamed', logger);
  return new RabbitMqTransport(
    connection,
    { timeoutMs: 10_000, window: 100, declare: 'assert', unusedMs, ...buffer },
    logger,
  );
}

async function open(version: number): Promise<void> {
  const logger = ledgerLogger(ledger);
  @Module({
    imports: [
      EventBusModule.forRoot({
        service: 'renamed',
        transport: transport(logger),
        exchange: settings.exchange,
        consume: consumeOptions(settings),
        inbox,
        logger,
      }),
    ],
    providers: [listener(version)],
  })
  class AppModule {}
  apps.set(version, await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] }));
}

/** @returns how often it was brought what had been handled */
async function close(version: number): Promise<number> {
  const app = apps.get(version);
  const groups = Object.values(app?.get(EventBusService).stats().groups ?? {});
  const duplicates = groups.reduce((sum, group) => sum + group.duplicates, 0);
  await app?.close();
  return duplicates;
}

process.on('message', ({ kind, version }: RenamedOrder) => {
  if (kind === 'open') void open(version).then(() => process.send?.({ kind, version }));
  if (kind === 'close') void close(version).then((duplicates) => process.send?.({ kind, version, duplicates }));
});
// what is open is closed by whoever opened it
process.once('SIGTERM', () => process.exit(0));
process.send?.({ kind: 'ready' });
