import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetterService, EventBusModule, EventBusService, fixed, OnEvent } from '../../../lib/index.js';
import { openLedger, type ProgramSettings, readSettings } from './settings.js';
import { FailedOnPurpose } from './working.js';

export interface PoisonSettings extends ProgramSettings {
  /** How many windows with a poison, and as many without. */
  readonly pairs: number;
  readonly windowMs: number;
  readonly perSecond: number;
  /** Of the poison, which throws at every one of them. */
  readonly attempts: number;
  readonly delayMs: number;
}

export interface PoisonWindow {
  readonly isPoisoned: boolean;
  /** From the publish to the start of the handler, of each good event. */
  readonly latenciesMs: readonly number[];
  /** How often the poison's handler was called while it was open. */
  readonly poisonCalls: number;
}

export interface PoisonEnd {
  readonly windows: readonly PoisonWindow[];
  readonly published: number;
  readonly handled: number;
  /** Handler calls of all poisons, whenever. */
  readonly poisonCalls: number;
  readonly dead: number;
  readonly reasons: readonly string[];
}

interface Event {
  readonly id: string;
  readonly n?: number;
}

const settings = readSettings<PoisonSettings>();
openLedger(settings.ledger);
const TICK_MS = 5;
const PATIENCE_MS = 30_000;
const GAP_MS = 50;

const publishedAt = new Map<string, number>();
let latencies: number[] = [];
let poisonCalls = 0;
let handled = 0;

@Injectable()
class WorkListener {
  @OnEvent('work.*', { group: settings.group })
  on({ id }: Event): void {
    const now = performance.now();
    if (id.startsWith('poison')) {
      poisonCalls++;
      throw new FailedOnPurpose(`${id} always fails`);
    }
    handled++;
    const began = publishedAt.get(id);
    if (began !== undefined) latencies.push(now - began);
    publishedAt.delete(id);
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'poison',
      transport: settings.url,
      exchange: settings.exchange,
      consume: { retry: fixed({ attempts: settings.attempts, delayMs: settings.delayMs }) },
    }),
  ],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks([], { useProcessExit: true });
const bus = app.get(EventBusService);
let next = 0;
let poisons = 0;

async function publish(id: string): Promise<void> {
  if (!id.startsWith('poison')) publishedAt.set(id, performance.now());
  await bus.publish('work.do', { id }, { id, unroutable: 'reject' });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await condition()) && performance.now() < end) await pause(20);
}

async function window(isPoisoned: boolean): Promise<PoisonWindow> {
  const { windowMs, perSecond } = settings;
  latencies = [];
  const [began, before] = [performance.now(), poisonCalls];
  const pending: Promise<void>[] = [];
  if (isPoisoned) pending.push(publish(`poison-${++poisons}`));
  let sent = 0;
  for (let elapsed = 0; elapsed < windowMs; elapsed = performance.now() - began) {
    const due = Math.floor((elapsed / 1_000) * perSecond);
    for (; sent < due; sent++) pending.push(publish(`good-${++next}`));
    await pause(TICK_MS);
  }
  const calls = poisonCalls - before;
  await Promise.all(pending);
  await until(() => publishedAt.size === 0);
  await until(() => poisonCalls >= poisons * settings.attempts);
  return { isPoisoned, latenciesMs: latencies.map((ms) => Math.round(ms * 1_000) / 1_000), poisonCalls: calls };
}

async function run(): Promise<PoisonEnd> {
  // what is done once in the life of a process, such as to declare the retry queue and to compile, is no part of it
  await window(true);
  const windows: PoisonWindow[] = [];
  for (let pair = 0; pair < settings.pairs; pair++) {
    // neither kind is always the first, so that a drift favours none
    for (const isPoisoned of pair % 2 === 0 ? [false, true] : [true, false]) {
      await pause(GAP_MS);
      windows.push(await window(isPoisoned));
      process.send?.({ kind: 'window', isPoisoned });
    }
  }
  const deadLetters = app.get(DeadLetterService);
  await until(async () => (await deadLetters.count(settings.group)) >= poisons);
  const letters = await deadLetters.list(settings.group, { limit: 1_000 });
  const reasons = [...new Set(letters.map(({ reason }) => reason))];
  return { windows, published: next, handled, poisonCalls, dead: letters.length, reasons };
}

process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') void run().then((end) => process.send?.({ kind: 'finished', end }));
});
process.send?.({ kind: 'ready' });
