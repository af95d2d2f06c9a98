import { setTimeout as pause } from 'node:timers/promises';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';
import { median } from './statistics.js';

const TIMEOUT_MS = 60_000;
const RUN_MS = 1_000;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const restarts = short ? 2 : 20;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const workers = stage.workers({ prefetch: 32, concurrency: 32, handlerMs: 1 });
    await workers.start(1);
    const publishers = stage.publishers({ publishers: 10, window: 1_000, timeoutMs: TIMEOUT_MS, pauseMs: 20 });
    await publishers.start(1);
    await node.settleQueues();
    const times: number[] = [];
    for (let probe = 1; probe <= restarts; probe++) {
      const goal = book.read().confirmed.size + 100;
      await stage.until('it runs', ({ confirmed }) => confirmed.size >= goal);
      await pause(RUN_MS * Math.random());
      await node.kill();
      const readyAt = await node.restart();
      const probed = workers.active[0]?.next('probed', TIMEOUT_MS);
      publishers.active[0]?.send({ kind: 'probe', probe });
      const { at } = (await probed) as unknown as { readonly at: number };
      times.push(at - readyAt);
      log(`restart ${probe} of ${restarts}: handled ${at - readyAt} ms after the broker answered`);
    }
    const ends = await stage.finish(publishers.active, TIMEOUT_MS);
    const outcome = await stage.judge(node.faults, ends);
    return {
      broker,
      figures: {
        restarts: node.faults,
        'median (ms)': median(times),
        'fastest (ms)': Math.min(...times),
        'slowest (ms)': Math.max(...times),
        ...outcome.figures,
      },
      bars: {
        restarts: atLeast(times.length, restarts),
        // of two it says nothing
        ...(short ? {} : { 'median (ms)': atMost(median(times), 1_000) }),
        'slowest (ms)': atMost(Math.max(...times), 5_000),
        ...outcome.bars,
      },
      series: times.map((ms) => ({ ms })),
    };
  });
}

export const recovery: Proof = {
  name: 'recovery',
  promise: 'When the broker is back, running services publish and handle again at once.',
  limits:
    'From the first answered AMQP handshake to the end of the handler of an event published after it; the start of the broker itself (about 5 s) is not counted.',
  run,
};
