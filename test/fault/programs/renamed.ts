import 'reflect-metadata';
import { type INestApplicationContext, Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { InboxStore } from '../../../lib/core/inbox.js';
import { EventBusModule, EventBusService, type EventContext, OnEvent } from '../../../lib/index.js';
import { ledgerLogger, openLedger, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, type Work, work } from './working.js';

/** Opens or closes one version; it answers with the same when that is done. */
export interface RenamedOrder {
  readonly kind: 'open' | 'close';
  readonly version: number;
}

// All versions of a service, each of which renames its group once more, in one process: so they share what remembers
// which messages have been handled.
const settings = readSettings<WorkerSettings>();
const ledger = openLedger(settings.ledger);

class SharedInbox implements InboxStore {
  private readonly claims = new Map<string, { readonly owner: string; readonly until: number }>();
  private readonly handled = new Map<string, number>();

  async claim(group: string, messageId: string, leaseMs: number, owner: string): Promise<'new' | 'done' | 'busy'> {
    const key = `${group} ${messageId}`;
    const now = Date.now();
    if ((this.handled.get(key) ?? 0) > now) return 'done';
    if ((this.claims.get(key)?.until ?? 0) > now) return 'busy';
    this.claims.set(key, { owner, until: now + leaseMs });
    return 'new';
  }

  async done(group: string, messageId: string, windowMs: number): Promise<void> {
    const key = `${group} ${messageId}`;
    this.claims.delete(key);
    this.handled.set(key, Date.now() + windowMs);
  }

  async forget(group: string, messageId: string, owner: string): Promise<void> {
    const key = `${group} ${messageId}`;
    if (this.claims.get(key)?.owner === owner) this.claims.delete(key);
  }
}

const inbox = new SharedInbox();
const apps = new Map<number, INestApplicationContext>();

function listener(version: number): Type {
  const group = `${settings.group}.${version}`;
  const previous = version > 0 ? { renamedFrom: `${settings.group}.${version - 1}` } : {};
  @Injectable()
  class WorkListener {
    @OnEvent('work.*', { group, idempotent: true, ...previous })
    async on(payload: Work, { attempt }: EventContext): Promise<void> {
      await work(payload, attempt, settings, ledger);
    }
  }
  return WorkListener;
}

async function open(version: number): Promise<void> {
  @Module({
    imports: [
      EventBusModule.forRoot({
        service: 'renamed',
        transport: settings.url,
        exchange: settings.exchange,
        consume: consumeOptions(settings),
        inbox,
        logger: ledgerLogger(ledger),
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
