import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, type PublishOptions, type SubscribeOptions } from '../../lib/index.js';
import type { BoundsResult } from './bounds.bench.js';
import { Countdown } from './countdown.js';
import { type Contender, compare, Stopwatch } from './measure.js';

const FEW = 10;
const MANY = 10_000;
const BATCH = 1_000;
/** Publishing with many subscriptions, of which the same one matches, costs at most this many times as much. */
const LIMIT = 3;

interface Kind {
  readonly title: string;
  readonly type: 'topic' | 'headers' | 'x-rtopic';
  /** What the subscription with this number asks for. */
  readonly pattern: (i: number) => string;
  readonly options?: (i: number) => SubscribeOptions;
  /** What is published; only the subscription with the number 7 gets it. */
  readonly topic: (n: number) => string;
  readonly sent?: PublishOptions;
}

const KINDS: readonly Kind[] = [
  { title: 'topic, one topic', type: 'topic', pattern: (i) => `orders.${i}.#`, topic: () => 'orders.7.placed' },
  { title: 'topic, ever new topics', type: 'topic', pattern: (i) => `orders.${i}.#`, topic: (n) => `orders.7.x${n}` },
  { title: 'topic, "#" first', type: 'topic', pattern: (i) => `#.shop${i}.*`, topic: (n) => `orders.x${n}.shop7.eu` },
  {
    title: 'headers, ever new topics',
    type: 'headers',
    pattern: () => '',
    options: (i) => ({ headers: { format: 'pdf', tenant: i } }),
    topic: (n) => `orders.x${n}`,
    sent: { headers: { format: 'pdf', tenant: 7, pages: 3 } },
  },
  { title: 'x-rtopic, one pattern', type: 'x-rtopic', pattern: (i) => `orders.${i}.placed`, topic: () => 'orders.7.*' },
];

async function contender(kind: Kind, subscriptions: number): Promise<Contender & { close(): Promise<void> }> {
  @Module({ imports: [EventBusModule.forRoot({ exchange: { name: 'routing', type: kind.type } })] })
  class RoutingModule {}
  const app = await NestFactory.createApplicationContext(RoutingModule, { logger: ['error'], abortOnError: false });
  const bus = app.get(EventBusService);
  let countdown = new Countdown(1);
  for (let i = 0; i < subscriptions; i++)
    await bus.subscribe(kind.pattern(i), () => countdown.tick(), kind.options?.(i) ?? {});
  let published = 0;
  return {
    name: `${subscriptions.toLocaleString('en')} subscriptions`,
    round: async (n) => {
      countdown = new Countdown(n);
      const watch = new Stopwatch();
      for (let i = 0; i < n; i += BATCH) {
        const size = Math.min(BATCH, n - i);
        await Promise.all(Array.from({ length: size }, () => bus.publish(kind.topic(published++), 1, kind.sent)));
      }
      await countdown.done;
      return watch.stop(n);
    },
    close: () => app.close(),
  };
}

/** What it costs in memory to publish an event that one subscription gets, among few and among many others. */
export async function benchmarkRouting(quick: boolean): Promise<readonly BoundsResult[]> {
  const results: BoundsResult[] = [];
  for (const kind of KINDS) {
    const many = await contender(kind, MANY);
    const few = await contender(kind, FEW);
    const size = { rounds: quick ? 2 : 5, messages: quick ? 5_000 : 50_000 };
    const { rateRatio } = await compare(`routing by ${kind.title}`, many, few, size);
    const title = `routing by ${kind.title}: ${MANY.toLocaleString('en')} subscriptions cost × ${(1 / rateRatio).toFixed(2)} (limit ${LIMIT})`;
    const isKept = rateRatio >= 1 / LIMIT;
    results.push({ title, isKept });
    console.log(`  ${isKept ? 'kept  ' : 'BROKEN'} ${title}\n`);
    await few.close();
    await many.close();
  }
  return results;
}
