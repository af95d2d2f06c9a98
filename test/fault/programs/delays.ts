import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type EventContext, OnEvent, RetryLaterError } from '../../../lib/index.js';
import { openLedger, type ProgramSettings, readSettings } from './settings.js';
import { FailedOnPurpose } from './working.js';

export interface DelaysSettings extends ProgramSettings {
  /** How many events fail once for each of their levels. */
  readonly messages: number;
  readonly perSecond: number;
  /** In each of three groups an event waits for all of them, in another order. */
  readonly levelsMs: readonly [number, number, number];
  /** Events that are put off once, for each of these times and both ways. */
  readonly putOff: number;
  readonly putOffMs: readonly number[];
}

/** One wait: what was asked for, and how much later than that the handler was called. */
export interface Wait {
  readonly kind: 'retry' | 'later' | 'publish';
  readonly levelMs: number;
  readonly errorMs: number;
}

export interface DelaysEnd {
  readonly waits: readonly Wait[];
  readonly calls: number;
  readonly succeeded: number;
}

interface Waiting {
  readonly id: string;
}

interface PutOff extends Waiting {
  readonly ms: number;
}

const settings = readSettings<DelaysSettings>();
openLedger(settings.ledger);
const TICK_MS = 10;
const PATIENCE_MS = 30_000;
const [first, second, third] = settings.levelsMs;
const ORDERS = [
  [first, second, third],
  [second, third, first],
  [third, first, second],
];

const waits: Wait[] = [];
const counts = { calls: 0, succeeded: 0 };
/** When the wait of an event began (`performance.now`). */
const since = new Map<string, number>();

/** @returns whether the event had been waiting */
function waited(kind: Wait['kind'], id: string, levelMs: number): boolean {
  const now = performance.now();
  const began = since.get(id);
  if (began === undefined) return false;
  since.delete(id);
  waits.push({ kind, levelMs, errorMs: now - began - levelMs });
  return true;
}

/** A group whose events fail until its policy has no delay left. */
function listener(order: number, delaysMs: readonly number[]): Type {
  @Injectable()
  class DelaysListener {
    @OnEvent(`work.${order}`, { group: `${settings.group}.${order}`, retry: { delaysMs } })
    on({ id }: Waiting, { attempt }: EventContext): void {
      waited('retry', id, delaysMs[attempt - 2] ?? Number.NaN);
      counts.calls++;
      if (attempt <= delaysMs.length) {
        since.set(id, performance.now());
        throw new FailedOnPurpose(`${id} fails at attempt ${attempt}`);
      }
      counts.succeeded++;
    }
  }
  return DelaysListener;
}

@Injectable()
class PutOffListener {
  @OnEvent('later.*', { group: `${settings.group}.later` })
  later({ id, ms }: PutOff): void {
    if (waited('later', id, ms)) return;
    since.set(id, performance.now());
    throw new RetryLaterError(ms);
  }

  @OnEvent('delayed.*', { group: `${settings.group}.delayed` })
  delayed({ id, ms }: PutOff): void {
    waited('publish', id, ms);
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'delays',
      transport: settings.url,
      exchange: settings.exchange,
      consume: { concurrency: 50, prefetch: 100, maxConcurrency: 200 },
    }),
  ],
  providers: [...ORDERS.map((delaysMs, order) => listener(order, delaysMs)), PutOffListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks([], { useProcessExit: true });
const bus = app.get(EventBusService);

async function publishAll(): Promise<void> {
  const { messages, perSecond, putOff, putOffMs } = settings;
  const pending: Promise<unknown>[] = [];
  const began = performance.now();
  for (let n = 0; n < messages; ) {
    const due = Math.min(messages, ((performance.now() - began) / 1_000) * perSecond);
    for (; n < due; n++) {
      const id = `retry-${n}`;
      pending.push(bus.publish(`work.${n % ORDERS.length}`, { id }, { id, unroutable: 'reject' }));
      if (n % Math.ceil(messages / putOff) !== 0) continue;
      for (const ms of putOffMs) {
        const [later, delayed] = [`later-${ms}-${n}`, `delayed-${ms}-${n}`];
        pending.push(bus.publish('later.go', { id: later, ms }, { id: later, unroutable: 'reject' }));
        since.set(delayed, performance.now());
        pending.push(
          bus.publish('delayed.go', { id: delayed, ms }, { id: delayed, delayMs: ms, unroutable: 'reject' }),
        );
      }
    }
    await pause(TICK_MS);
  }
  await Promise.all(pending);
}

async function run(): Promise<DelaysEnd> {
  await publishAll();
  const end = Math.max(...settings.levelsMs) * ORDERS.length + PATIENCE_MS;
  const deadline = performance.now() + end;
  while ((counts.succeeded < settings.messages || since.size > 0) && performance.now() < deadline) await pause(100);
  return { waits, ...counts };
}

process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') void run().then((end) => process.send?.({ kind: 'finished', end }));
});
process.send?.({ kind: 'ready' });
