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

/** What must hold however careless the caller is: bounded memory, order, and an answer for every publish. */
export async function checkBounds(name: string, transport: string, messages: number): Promise<readonly BoundsResult[]> {
  const unique = `bounds-${process.pid}`;
  const app = await startApp({ service: unique, exchange: unique, namespace: unique, transport });
  const bus = app.get(EventBusService);
  const results: BoundsResult[] = [];
  const report = (title: string, isKept: boolean): void => {
    results.push({ title: `${name}: ${title}`, isKept });
    console.log(`  ${isKept ? 'kept  ' : 'BROKEN'} ${name}: ${title}`);
  };
  try {
    const first = new OrderCheck();
    app.get(Sink).onOrder = ({ id }) => first.see(id);
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
    while (first.handled < outcomes.confirmed) await new Promise((resolve) => setTimeout(resolve, 20));
    report(
      `${messages} publishes without await: ${outcomes.confirmed} confirmed and handled in order, ${outcomes.typed} rejected with a typed error, ${messages - outcomes.confirmed - outcomes.typed} else`,
      outcomes.other === 0 && outcomes.confirmed >= 10_000 && outcomes.confirmed === first.handled,
    );

    const second = new OrderCheck();
    app.get(Sink).onOrder = ({ id }) => second.see(id);
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 20);
    const { confirmed, failed } = await bus.publishAll(generate(messages));
    while (second.handled < confirmed) await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(watch);
    const growth = (peak - before) / MIB;
    report(
      `publishAll of ${messages} from a generator: ${confirmed} confirmed and handled in order, ${failed.length} failed, RSS grew by ${growth.toFixed(0)} MiB (limit 100)`,
      confirmed === messages && growth <= 100,
    );
  } finally {
    await app.close();
  }
  return results;
}

function* generate(messages: number): Generator<{ topic: string; payload: unknown }> {
  for (let i = 0; i < messages; i++) yield { topic: TOPICS[i % TOPICS.length] ?? '', payload: order(i) };
}
