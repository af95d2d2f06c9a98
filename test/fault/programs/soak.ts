import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type EventContext, OnEvent } from '../../../lib/index.js';
import { Ledger } from '../harness/ledger.js';
import { openLedger, readSettings, type WorkerSettings } from './settings.js';
import { consumeOptions, FailedOnPurpose, type Work } from './working.js';

export interface SoakSettings extends WorkerSettings {
  readonly perSecond: number;
  readonly seconds: number;
  readonly sampleMs: number;
  readonly timeoutMs: number;
  /** Takes one line of JSON for each sample. */
  readonly samples: string;
}

export interface SoakEnd {
  readonly sent: number;
  readonly confirmed: number;
  readonly rejected: number;
  readonly rejections: Readonly<Record<string, number>>;
  readonly pending: number;
  readonly late: number;
  readonly handled: number;
  readonly duplicates: number;
  readonly thrown: number;
  /** Confirmed and not handled; at most 1 000 of them. */
  readonly missing: readonly string[];
}

// Publishes at a steady rate and handles what it publishes, for as long as told. What it remembers of a message is two
// bytes in arrays that are there from the start, so that only the library and Nest can make the process grow.
const settings = readSettings<SoakSettings>();
openLedger(settings.ledger);
const samples = new Ledger(settings.samples);
const { perSecond, seconds, sampleMs, timeoutMs, failOneOf = 0, handlerMs } = settings;
const TICK_MS = 10;
const GRACE_MS = 1_000;
const MIB = 1_048_576;

const total = perSecond * seconds;
const confirmed = new Uint8Array(total + 1);
const handled = new Uint8Array(total + 1);
const counts = { sent: 0, confirmed: 0, rejected: 0, late: 0, handlings: 0, thrown: 0 };
const rejections: Record<string, number> = {};

@Injectable()
class WorkListener {
  @OnEvent('work.*', { group: settings.group })
  async on({ n }: Work, { attempt }: EventContext): Promise<void> {
    if (handlerMs > 0) await pause(handlerMs);
    if (failOneOf > 0 && attempt === 1 && n % failOneOf === 0) {
      counts.thrown++;
      throw new FailedOnPurpose(`${n} fails at its first attempt`);
    }
    handled[n] = (handled[n] ?? 0) + 1;
    counts.handlings++;
  }
}

@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'soak',
      transport: settings.url,
      exchange: settings.exchange,
      publish: { timeoutMs },
      consume: consumeOptions(settings),
    }),
  ],
  providers: [WorkListener],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
app.enableShutdownHooks([], { useProcessExit: true });
const bus = app.get(EventBusService);

async function publish(n: number): Promise<void> {
  const id = String(n);
  const began = performance.now();
  try {
    await bus.publish('work.do', { id, n, pad: 'a body like that of a small event' }, { id, unroutable: 'reject' });
    confirmed[n] = 1;
    counts.confirmed++;
  } catch (error) {
    const { code = 'UNKNOWN' } = error as { readonly code?: string };
    rejections[code] = (rejections[code] ?? 0) + 1;
    counts.rejected++;
  }
  if (performance.now() - began > timeoutMs + GRACE_MS) counts.late++;
}

const delay = monitorEventLoopDelay({ resolution: TICK_MS });
const began = performance.now();

function sample(): void {
  // what it shows is the delay of a timer, which comes on top of the interval
  const loopP99Ms = delay.percentile(99) / 1e6 - TICK_MS;
  const loopMaxMs = delay.max / 1e6 - TICK_MS;
  globalThis.gc?.();
  const { heapUsed, rss, external, arrayBuffers } = process.memoryUsage();
  const row = {
    minute: (performance.now() - began) / 60_000,
    heapMiB: heapUsed / MIB,
    rssMiB: rss / MIB,
    externalMiB: external / MIB,
    arrayBuffersMiB: arrayBuffers / MIB,
    loopP99Ms,
    loopMaxMs,
    ...counts,
    pending: counts.sent - counts.confirmed - counts.rejected,
    handles: process.getActiveResourcesInfo().length,
  };
  samples.write(JSON.stringify(row));
  // without the pause that was forced above
  delay.reset();
}

async function run(): Promise<SoakEnd> {
  delay.enable();
  const sampler = setInterval(sample, sampleMs);
  while (counts.sent < total) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * perSecond));
    while (counts.sent < due) void publish(++counts.sent);
    await pause(TICK_MS);
  }
  const pending = (): number => counts.sent - counts.confirmed - counts.rejected;
  const end = performance.now() + timeoutMs + GRACE_MS;
  while (pending() > 0 && performance.now() < end) await pause(TICK_MS);
  let since = performance.now();
  for (let seen = -1; missing().length > 0 && performance.now() - since < 20_000; await pause(250)) {
    if (counts.handlings !== seen) since = performance.now();
    seen = counts.handlings;
  }
  sample();
  clearInterval(sampler);
  delay.disable();
  const distinct = handled.reduce((sum, times) => sum + (times > 0 ? 1 : 0), 0);
  const { sent, rejected, late, thrown, handlings } = counts;
  return {
    sent,
    confirmed: counts.confirmed,
    rejected,
    rejections,
    pending: pending(),
    late,
    handled: distinct,
    duplicates: handlings - distinct,
    thrown,
    missing: missing(),
  };
}

function missing(): readonly string[] {
  const ids: string[] = [];
  for (let n = 1; n <= total && ids.length < 1_000; n++) {
    if (confirmed[n] === 1 && handled[n] === 0) ids.push(String(n));
  }
  return ids;
}

process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') void run().then((end) => process.send?.({ kind: 'finished', ...end }));
});
process.send?.({ kind: 'ready' });
