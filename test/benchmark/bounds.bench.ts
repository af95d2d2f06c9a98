import type { INestApplicationContext } from '@nestjs/common';
import { EventBusError, EventBusService } from '../../lib/index.js';
import { Sink, startApp } from './app.js';
import { order } from './payload.js';

const TOPICS = ['orders.a', 'orders.b', 'orders.c'] as const;
const MIB = 1_048_576;

/** Checks order per topic while events come in. */
class OrderCheck {
  handled = 0;
  private readonly last = new Map<number, number>();

  see(id: number): void {
    const topic = id % TOPICS.length;
    const before = this.last.get(topic) ?? -1;
    if (id <= before) throw new Error(`order broken: ${id} after ${before}`);
    this.last.set(topic, id);
    this.handled++;
  }
}

export interface BoundsResult {
  readonly title: string;
  readonly isKept: boolean;
}

type Report = (title: string, isKept: boolean) => void;

/** A sequence of any length: one window of it in memory. */
async function checkSequence(app: INestApplicationContext, messages: number, report: Report): Promise<void> {
  const check = new OrderCheck();
  app.get(Sink).onOrder = ({ id }) => check.see(id);
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  const { confirmed, failed } = await app.get(EventBusService).publishAll(generate(messages));
  while (check.handled < confirmed) await new Promise((resolve) => setTimeout(resolve, 20));
  clearInterval(watch);
  const growth = (peak - before) / MIB;
  report(
    `publishAll of ${messages} from a generator: ${confirmed} confirmed and handled in order, ${failed.length} failed, RSS grew by ${growth.toFixed(0)} MiB (limit 100)`,
    confirmed === messages && growth <= 100,
  );
}

/** A caller who awaits nothing: what is accepted is confirmed, the rest is told so. */
async function checkBurst(app: INestApplicationContext, messages: number, report: Report): Promise<void> {
  const bus = app.get(EventBusService);
  const check = new OrderCheck();
  app.get(Sink).onOrder = ({ id }) => check.see(id);
  const outcomes = { confirmed: 0, typed: 0, other: 0 };
  const all: Promise<void>[] = [];
  for (let i = 0; i < messages; i++) {
    const settled = bus.publish(TOPICS[i % TOPICS.length] ?? '', order(i)).then(
      () => void outcomes.confirmed++,
      (error: unknown) => {
        if (error instanceof EventBusError) outcomes.typed++;
        else outcomes.other++;
      },
    );
    all.push(settled);
  }
  await Promise.all(all);
  const { confirmed, typed, other } = outcomes;
  while (check.handled < confirmed) await new Promise((resolve) => setTimeout(resolve, 20));
  report(
    `${messages} publishes without await: ${confirmed} confirmed and handled in order, ${typed} rejected with a typed error, ${messages - confirmed - typed} else`,
    other === 0 && confirmed + typed === messages && confirmed >= 10_000 && confirmed === check.handled,
  );
}

const CHECKS = { sequence: checkSequence, burst: checkBurst };

/** What must hold however careless the caller is: bounded memory, order, and an answer for every publish. */
export async function checkBounds(
  kind: keyof typeof CHECKS,
  transport: string,
  messages: number,
): Promise<readonly BoundsResult[]> {
  const name = transport.split(':', 1)[0] ?? '';
  const unique = `bounds-${process.pid}`;
  const app = await startApp({ service: unique, exchange: unique, namespace: unique, transport });
  const results: BoundsResult[] = [];
  try {
    await CHECKS[kind](app, messages, (title, isKept) => {
      results.push({ title: `${name}: ${title}`, isKept });
      console.log(`  ${isKept ? 'kept  ' : 'BROKEN'} ${name}: ${title}`);
    });
  } finally {
    await app.close();
  }
  return results;
}

function* generate(messages: number): Generator<{ topic: string; payload: unknown }> {
  for (let i = 0; i < messages; i++) yield { topic: TOPICS[i % TOPICS.length] ?? '', payload: order(i) };
}
