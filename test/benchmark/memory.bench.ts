import { createRequire } from 'node:module';
import type { EventEmitter2 as Emitter } from 'eventemitter2';
import { EventBusService } from '../../lib/index.js';
import { Sink, startApp } from './app.js';
import { Countdown } from './countdown.js';
import { type Comparison, type Contender, compare, Stopwatch } from './measure.js';
import { type OrderPlaced, order } from './payload.js';

// its names cannot be imported from an ES module
const { EventEmitter2 } = createRequire(import.meta.url)('eventemitter2') as { readonly EventEmitter2: typeof Emitter };

const BATCH = 1_000;

/** Calls `publish` n times, a batch in flight. */
async function inBatches(n: number, publish: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < n; i += BATCH) {
    await Promise.all(Array.from({ length: Math.min(BATCH, n - i) }, (_, j) => publish(i + j)));
  }
}

export async function benchmarkMemory(quick: boolean): Promise<readonly Comparison[]> {
  const rounds = quick ? 2 : 9;
  const messages = quick ? 20_000 : 200_000;
  const app = await startApp({ service: 'bench' });
  const bus = app.get(EventBusService);
  const ours: Contender = {
    name: 'bus in memory to @OnEvent method',
    round: async (n) => {
      const countdown = new Countdown(n);
      app.get(Sink).onOrder = () => countdown.tick();
      const watch = new Stopwatch();
      await inBatches(n, (i) => bus.publish('orders.placed', order(i)));
      await countdown.done;
      return watch.stop(n);
    },
  };
  const emitter = new EventEmitter2({ wildcard: true });
  let countdown = new Countdown(1);
  emitter.on('orders.*', (json: string) => {
    const received = JSON.parse(json) as OrderPlaced;
    if (received.id >= 0) countdown.tick();
  });
  const raw: Contender = {
    name: 'EventEmitter2 emitAsync + JSON',
    round: async (n) => {
      countdown = new Countdown(n);
      const watch = new Stopwatch();
      await inBatches(n, (i) => emitter.emitAsync('orders.placed', JSON.stringify(order(i))));
      await countdown.done;
      return watch.stop(n);
    },
  };
  const result = await compare('in memory, with the JSON round trip', ours, raw, { rounds, messages });
  await app.close();
  return [result];
}
