import 'reflect-metadata';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventBusModule, EventBusService, RemoteError } from '../../lib/index.js';
import { Archive } from './archive.js';
import { Deliveries } from './deliveries.js';
import { ExportOrders, MakeReport, PlaceOrder, QuoteDelivery } from './kiosk.commands.js';
import { Orders } from './orders.js';
import { Reports } from './reports.js';

/** Who asks and who answers are one process here. On RabbitMQ they need not be. */
@Module({
  imports: [
    EventBusModule.forRoot({
      service: 'kiosk',
      exchange: 'kiosk',
      transport: process.env.EVENT_BUS_URL ?? 'memory:',
    }),
  ],
  providers: [Orders, Reports, Deliveries, Archive],
})
class KioskModule {}

const app = await NestFactory.createApplicationContext(KioskModule, { logger: ['error', 'fatal'] });
const bus = app.get(EventBusService);
const { events } = app.get(Reports);
const reported = (what: 'begun' | 'aborted') => once(events, what, { signal: AbortSignal.timeout(10_000) });
const failure = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => new Error('It was answered.'),
    (error: unknown) => error,
  );

console.log('1. A command, and its answer');
const { order, cents } = await bus.request(new PlaceOrder('tea', 2)); // a Receipt, as the class says
console.log(`  order ${order}: ${cents} cents`);

console.log('2. What the handler throws is the answer, too');
const refusal = await failure(bus.request(new PlaceOrder('cups', 4)));
if (refusal instanceof RemoteError)
  console.log(`  ${String(refusal)}: code ${refusal.code}, details ${JSON.stringify(refusal.details)}`);

console.log('3. Who stops waiting stops the handler');
const stop = new AbortController();
const begun = reported('begun');
const aborted = reported('aborted');
const stopped = failure(bus.request(new MakeReport(2025), { signal: stop.signal }));
await begun;
stop.abort(new Error('the browser was closed'));
console.log(`  the caller: ${String(await stopped)}`);
await aborted;

console.log('4. So does time that is over');
const abortedAgain = reported('aborted');
const late = await failure(bus.request(new MakeReport(2026), { timeoutMs: 1_000 }));
console.log(`  the caller: ${String(late)}`);
await abortedAgain;

console.log('5. A handler that asks in its turn: no longer than somebody waits for it');
const { leftMs } = await bus.request(new QuoteDelivery('Bergen'), { timeoutMs: 2_000 });
console.log(`  asked with 10 s, had ${(leftMs / 1_000).toFixed(1)} s`);

console.log('6. Many, two at a time; the outcomes keep their order');
const baskets = [1, 2, 500, 4, 5, 6].map((quantity) => new PlaceOrder('tea', quantity));
const outcomes = await bus.requestAll(baskets, { concurrency: 2 });
for (const [at, outcome] of outcomes.entries()) {
  const told = outcome.status === 'fulfilled' ? `${outcome.value.cents} cents` : String(outcome.reason);
  console.log(`  ${baskets[at]?.quantity} × tea: ${told}`);
}
const { busiest } = app.get(Orders);
console.log(`  at most ${busiest} at one time`);

console.log('7. A long answer, row by row: the handler waits for a slow reader, and ends when that has enough');
const archive = app.get(Archive);
const ended = once(archive.events, 'ended', { signal: AbortSignal.timeout(10_000) });
let read = 0;
let ahead = 0;
for await (const { number } of bus.requestStream(new ExportOrders(1_000), { window: 4 })) {
  await sleep(20);
  read++;
  ahead = Math.max(ahead, archive.given - number);
  if (number === 20) break;
}
await ended;
console.log(`  the caller: read ${read}, and the handler was never more than ${ahead} rows ahead`);

const told = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value.cents : 'none')).join();
const isAsTold =
  (refusal as RemoteError).code === 'OUT_OF_STOCK' &&
  (await stopped) === stop.signal.reason &&
  (late as RemoteError).code === 'REQUEST_TIMEOUT' &&
  leftMs <= 2_000 &&
  told === '250,500,none,1000,1250,1500' &&
  busiest === 2 &&
  read === 20 &&
  ahead <= 4;
if (!isAsTold) {
  console.error('Something came out otherwise than told.');
  process.exitCode = 1;
}
await app.close();
console.log('sample finished');
