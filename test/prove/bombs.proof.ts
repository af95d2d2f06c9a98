import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TopicExchange } from '../../lib/exchanges/topic.exchange.js';
import {
  compressed,
  DeadLetterService,
  EVENT_BUS_TRANSPORT,
  EventBusModule,
  EventBusService,
  JsonSerializer,
  type Transport,
} from '../../lib/index.js';
import { type Bomb, brotliBomb, gzipBomb } from './bombs.js';
import { atLeast, atMost, type Bar, type Figures, type Proof, type ProofOptions } from './proof.js';

const GROUP = 'bombs.victim';
const EXCHANGE = 'events';
const LIMIT_MS = 60_000;

interface Victim {
  readonly app: INestApplicationContext;
  readonly handled: unknown[];
}

async function startVictim(): Promise<Victim> {
  const handled: unknown[] = [];
  const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const serializer = compressed(new JsonSerializer());
  @Module({ imports: [EventBusModule.forRoot({ service: 'bombs', exchange: EXCHANGE, serializer, logger: silent })] })
  class VictimModule {}
  const app = await NestFactory.createApplicationContext(VictimModule, { logger: false, abortOnError: false });
  await app.get(EventBusService).subscribe('bombs.#', (payload) => void handled.push(payload), { group: GROUP });
  return { app, handled };
}

/** As many bytes as a bomb really has, counted in a stream. */
async function countBytes({ coding, packed }: Bomb): Promise<number> {
  const unpacked = Readable.from([packed]).pipe(coding === 'gzip' ? createGunzip() : createBrotliDecompress());
  let bytes = 0;
  for await (const part of unpacked) bytes += (part as Buffer).byteLength;
  return bytes;
}

/** One at a time, so that each delay is the delay of one. @returns the longest one, in milliseconds */
async function explode({ app }: Victim, { name, coding, packed }: Bomb, count: number): Promise<number> {
  const transport = app.get<Transport>(EVENT_BUS_TRANSPORT, { strict: false });
  const letters = app.get(DeadLetterService);
  const exchange = { name: EXCHANGE, handler: new TopicExchange() };
  const before = await letters.count(GROUP);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let i = 1; i <= count; i++) {
    const head = { id: `${name} ${i}`, type: '', topic: 'bombs.away', headers: {}, timestamp: Date.now() };
    const message = { ...head, contentType: 'application/json', contentEncoding: coding, body: packed };
    await transport.publish({ kind: 'exchange', exchange }, message);
    const end = Date.now() + LIMIT_MS;
    while ((await letters.count(GROUP)) < before + i) {
      if (Date.now() > end) throw new Error(`${name}: not dead within ${LIMIT_MS} ms.`);
      await pause(2);
    }
  }
  delay.disable();
  return delay.max / 1e6;
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const count = short ? 3 : 50;
  const gigabytes = short ? 1 : 10;
  const bombs = [
    await gzipBomb(1_024),
    await brotliBomb(gigabytes * 1_024, 22),
    // 16 MiB of window, which would be filled before anything is counted
    await brotliBomb(gigabytes * 1_024, 24),
  ];
  const victim = await startVictim();
  const figures: Record<string, number | string> = {};
  const bars: Record<string, Bar> = {};
  try {
    for (const bomb of bombs) {
      const { name, packed, unpackedBytes } = bomb;
      figures[`${name}: bytes packed`] = packed.byteLength;
      bars[`${name}: bytes, counted while they were unpacked`] = atLeast(await countBytes(bomb), unpackedBytes);
      const delayMs = await explode(victim, bomb, count);
      bars[`${name}: longest delay of the event loop in ms`] = atMost(Math.round(delayMs * 10) / 10, 50);
      log(`${name}: ${packed.byteLength} bytes packed, delay ${delayMs.toFixed(1)} ms`);
    }
    await victim.app.get(EventBusService).publish('bombs.none', 'x'.repeat(100_000));
    await pause(100);
    const letters = await victim.app.get(DeadLetterService).count(GROUP);
    bars['bombs that are dead letters'] = atLeast(letters, bombs.length * count);
    bars['good messages behind them that were not handled'] = atMost(1 - victim.handled.length, 0);
    bars['bombs that were handled'] = atMost(victim.handled.length - 1, 0);
  } finally {
    await victim.app.close();
  }
  return { broker: undefined, figures, bars };
}

export const bombs: Proof = {
  name: 'bombs',
  promise: 'A body that unpacks to gigabytes is stopped at the limit, and stops nobody else.',
  limits:
    'Bombs of zeros, one at a time, with the default limit of 1 MiB. Whoever raises `maxBytes` waits longer: unpacking is done in one go.',
  run,
};
