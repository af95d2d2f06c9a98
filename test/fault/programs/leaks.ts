import 'reflect-metadata';
import { setTimeout as pause } from 'node:timers/promises';
import { type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  EVENT_BUS_CONNECTION,
  EventBusModule,
  EventBusService,
  OnEvent,
  type RabbitMqRaw,
} from '../../../lib/index.js';
import { Countdown } from '../../benchmark/countdown.js';
import { openLedger, type ProgramSettings, readSettings } from './settings.js';

export interface LeaksSettings extends ProgramSettings {
  readonly applications: number;
  readonly subscriptions: number;
}

/** What a process holds. */
export interface Holdings {
  readonly heapMiB: number;
  /** Open handles, timers among them, by kind. */
  readonly handles: Readonly<Record<string, number>>;
  readonly listeners: number;
  readonly done: number;
}

export interface LeaksEnd {
  readonly [round: string]: { readonly before: Holdings; readonly after: Holdings };
}

// Does the same again and again, and says what the process held before and after: after a round of the same size to warm up.
const settings = readSettings<LeaksSettings>();
openLedger(settings.ledger);
const MIB = 1_048_576;
const PARALLEL = 25;
const SETTLE_MS = 100;
/** V8 compiles and caches for some hundred applications, of Nest alone too. */
const WARM_UP = 100;

type Emitter = { eventNames(): (string | symbol)[]; listenerCount(name: string | symbol): number };

function countListeners(...emitters: readonly (Emitter | undefined)[]): number {
  let count = 0;
  for (const emitter of emitters)
    for (const name of emitter?.eventNames() ?? []) count += emitter?.listenerCount(name) ?? 0;
  return count;
}

/** Sets of listeners that the library keeps by itself, on the connection and what it is made of. */
function countKept(value: unknown, depth = 3): number {
  if (typeof value !== 'object' || value === null || depth === 0) return 0;
  let count = 0;
  for (const [name, field] of Object.entries(value)) {
    if (name === 'listeners' && field instanceof Set) count += field.size;
    else if (name === 'publish' || name === 'consume') count += countKept(field, depth - 1);
  }
  return count;
}

interface RawConnection {
  raw?(): RabbitMqRaw;
}

async function holdings(done: number, app?: INestApplicationContext): Promise<Holdings> {
  // whatever has been closed needs a few turns to be gone
  await pause(SETTLE_MS);
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.();
    await pause(10);
  }
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  const connection = app?.get<RawConnection>(EVENT_BUS_CONNECTION);
  const { publish, consume } = connection?.raw?.() ?? {};
  const emitters = [publish, consume].flatMap((model) => [model, model?.connection]) as unknown as Emitter[];
  const listeners = countListeners(process, ...emitters) + countKept(connection);
  return { heapMiB: process.memoryUsage().heapUsed / MIB, handles, listeners, done };
}

let arrived: () => void = () => undefined;

@Injectable()
class LeakListener {
  @OnEvent('leak.one', { group: settings.group })
  on(): void {
    arrived();
  }
}

function moduleFor(transport: string) {
  @Module({
    imports: [EventBusModule.forRoot({ service: 'leaks', transport, exchange: settings.exchange })],
    providers: [LeakListener],
  })
  class LeaksModule {}
  return LeaksModule;
}

const start = (module: ReturnType<typeof moduleFor>): Promise<INestApplicationContext> =>
  NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });

/** Opens an application, publishes and handles one event, and closes it, so many times. */
async function openAndClose(module: ReturnType<typeof moduleFor>, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const app = await start(module);
    const handled = new Countdown(1);
    arrived = () => handled.tick();
    await app.get(EventBusService).publish('leak.one', i);
    await handled.done;
    await app.close();
  }
}

/** Subscribes, publishes now and then to see that it works, and cancels, so many times. */
async function subscribeAndCancel(bus: EventBusService, times: number): Promise<void> {
  for (let left = times; left > 0; left -= PARALLEL) {
    const count = Math.min(PARALLEL, left);
    const received = new Countdown(count);
    const subscriptions = await Promise.all(
      Array.from({ length: count }, () => bus.subscribe('leak.many', () => received.tick())),
    );
    await bus.publish('leak.many', left);
    await received.done;
    await Promise.all(subscriptions.map((subscription) => subscription.cancel()));
  }
}

async function round(
  work: (times: number) => Promise<void>,
  times: number,
  app?: INestApplicationContext,
): Promise<LeaksEnd[string]> {
  await work(Math.max(WARM_UP, times));
  const before = await holdings(0, app);
  await work(times);
  return { before, after: await holdings(times, app) };
}

async function run(): Promise<LeaksEnd> {
  const end: Record<string, LeaksEnd[string]> = {};
  const tell = (name: string): void => {
    process.send?.({ kind: 'told', name, ...end[name] });
  };
  for (const [name, transport] of [
    ['applications in memory', 'memory:'],
    ['applications on RabbitMQ', settings.url],
  ] as const) {
    const module = moduleFor(transport);
    end[name] = await round((times) => openAndClose(module, times), settings.applications);
    tell(name);
  }
  for (const [name, transport] of [
    ['subscriptions in memory', 'memory:'],
    ['subscriptions on RabbitMQ', settings.url],
  ] as const) {
    const app = await start(moduleFor(transport));
    const bus = app.get(EventBusService);
    end[name] = await round((times) => subscribeAndCancel(bus, times), settings.subscriptions, app);
    tell(name);
    await app.close();
  }
  return end;
}

process.on('message', ({ kind }: { readonly kind: string }) => {
  if (kind === 'go') void run().then((end) => process.send?.({ kind: 'finished', end }));
});
process.send?.({ kind: 'ready' });
