import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, OnCommand } from '../../lib/index.js';
import type { BoundsResult } from './bounds.bench.js';
import { type Comparison, type Contender, compare, Stopwatch } from './measure.js';
import { measureNestRpc } from './rpc.nest.js';
import { RawRpc } from './rpc.raw.js';

const PREFETCH = 250;
const TIMEOUT_MS = 60_000;
const MANY = 10_000;
const FEW = 1_000;

type Ask = (n: number) => Promise<unknown>;

@Injectable()
class Calculator {
  @OnCommand('bench.next', { prefetch: PREFETCH, concurrency: PREFETCH, timeoutMs: TIMEOUT_MS })
  next({ n }: { n: number }): { n: number } {
    return { n: n + 1 };
  }
}

class AppModule {}

/** So many requests, at most `parallel` of them at one time. Every answer must be the one to its request. */
async function ask(all: number, parallel: number, one: Ask): Promise<readonly number[]> {
  const latencies: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < all) {
      const n = next++;
      const began = performance.now();
      const reply = (await one(n)) as { n: number };
      if (reply.n !== n + 1) throw new Error(`${n} was answered with ${JSON.stringify(reply)}`);
      latencies.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return latencies;
}

function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

interface Burst {
  readonly rate: number;
  readonly p99: number;
}

/** So many requests at one time, once. */
async function burst(all: number, one: Ask): Promise<Burst> {
  const began = performance.now();
  const latencies = await ask(all, all, one);
  return { rate: (all / (performance.now() - began)) * 1_000, p99: percentile(latencies, 0.99) };
}

/** In turn, so that whatever else the machine does hits both. */
async function compareBursts(
  ours: Ask,
  theirs: Ask,
  rounds: number,
): Promise<readonly { readonly ours: Burst; readonly raw: Burst; readonly small: Burst }[]> {
  const pairs: { ours: Burst; raw: Burst; small: Burst }[] = [];
  for (let i = -1; i < rounds; i++) {
    const small = await burst(FEW, ours);
    const first = i % 2 === 0;
    const a = await burst(MANY, first ? theirs : ours);
    const b = await burst(MANY, first ? ours : theirs);
    // the first round is for the compiler
    if (i >= 0) pairs.push({ ours: first ? b : a, raw: first ? a : b, small });
  }
  return pairs;
}

/** What a request costs beside the bare client, one after the other, 64 at one time and 10,000 at one time. */
export async function benchmarkRpc(
  url: string,
  quick: boolean,
): Promise<{ readonly comparisons: readonly Comparison[]; readonly bounds: readonly BoundsResult[] }> {
  const name = `bench-${randomUUID().slice(0, 8)}`;
  const queueArguments = {
    'x-queue-type': 'quorum',
    'x-delivery-limit': 20,
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': `${name}.raw.dlq`,
    'x-dead-letter-strategy': 'at-least-once',
  };
  const raw = await RawRpc.open({
    url,
    queue: `${name}.raw`,
    queueArguments,
    prefetch: PREFETCH,
    timeoutMs: TIMEOUT_MS,
  });
  const options = { namespace: name, transport: url, request: { timeoutMs: TIMEOUT_MS } };
  const start = (service: string, providers: readonly (typeof Calculator)[]) =>
    NestFactory.createApplicationContext(
      {
        module: AppModule,
        imports: [
          EventBusModule.forRoot({
            ...options,
            service,
            consume: { maxConcurrency: 1_000 },
            publish: { buffer: { messages: 20_000 } },
          }),
        ],
        providers: [...providers],
      },
      { logger: ['error', 'warn'] },
    );
  const server = await start('answers', [Calculator]);
  const client = await start('asks', []);
  const bus = client.get(EventBusService);
  const ours: Ask = (n) => bus.request('bench.next', { n });
  const theirs: Ask = (n) => raw.ask(n);
  const contender = (title: string, parallel: number, one: Ask): Contender => ({
    name: title,
    round: async (n) => {
      const watch = new Stopwatch();
      await ask(n, parallel, one);
      return watch.stop(n);
    },
  });
  const rounds = quick ? 2 : 9;
  const comparisons: Comparison[] = [];
  for (const [title, parallel, messages] of [
    ['request, one after the other', 1, quick ? 300 : 1_000],
    ['request, 64 at one time', 64, quick ? 2_000 : 10_000],
  ] as const) {
    comparisons.push(
      await compare(title, contender('bus.request()', parallel, ours), contender('amqplib', parallel, theirs), {
        rounds,
        messages,
      }),
    );
  }
  const bounds: BoundsResult[] = [];
  const report = (what: string, isKept: boolean): void => {
    bounds.push({ title: `requests: ${what}`, isKept });
    console.log(`  ${isKept ? 'kept  ' : 'BROKEN'} requests: ${what}`);
  };
  const bursts = await compareBursts(ours, theirs, quick ? 3 : 9);
  // every answer was checked when it came; a lost one would have rejected
  report(`${MANY} at one time, none lost and none crossed`, bursts.length > 0);
  report(`0 wait for an answer afterwards`, bus.stats().pendingRequests === 0);
  const p99 = median(bursts.map((pair) => pair.ours.p99 / pair.raw.p99));
  const rate = median(bursts.map((pair) => pair.ours.rate / pair.small.rate));
  const times = bursts.map((pair) => `${pair.ours.p99.toFixed(0)} and ${pair.raw.p99.toFixed(0)} ms`);
  console.log(`  p99 of ${MANY} at one time, ours and amqplib's: ${times.join(', ')}`);
  const limit = (what: string, bound: number, isKept: boolean): void =>
    report(`${what} (limit ${bound}${quick ? ', not checked in a quick run' : ''})`, quick || isKept);
  limit(`p99 of ${MANY} at one time × ${p99.toFixed(2)} of amqplib`, 1.3, p99 <= 1.3);
  limit(`rate of ${MANY} at one time × ${rate.toFixed(2)} of that of ${FEW}`, 0.8, rate >= 0.8);
  for (const { title, rateRatio } of comparisons) {
    limit(`${title} × ${rateRatio.toFixed(2)} of amqplib`, 0.8, rateRatio >= 0.8);
  }
  const nest = await measureNestRpc(url, `${name}.nest`);
  console.log(`  @nestjs/microservices with acknowledgements, one after the other: ${nest.toFixed(0)}/s`);
  console.log('');
  await client.close();
  await server.close();
  await raw.close();
  return { comparisons, bounds };
}
