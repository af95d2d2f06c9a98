import { setTimeout as pause } from 'node:timers/promises';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';

const PUBLISHERS = 20;
const WORKERS = 2;
const PREFETCH = 32;
const TIMEOUT_MS = 60_000;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const target = short ? { kills: 2, confirmed: 5_000 } : { kills: 20, confirmed: 250_000 };
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const workers = stage.workers({ prefetch: PREFETCH, concurrency: PREFETCH, handlerMs: 1 });
    await workers.start(WORKERS);
    // each loop waits for its confirmation before it publishes again, so no more than one each is in flight
    const publishers = stage.publishers({ publishers: PUBLISHERS, window: 1_000, timeoutMs: TIMEOUT_MS });
    await publishers.start(1);
    await node.settleQueues();
    const share = target.confirmed / (target.kills + 1);
    for (let kill = 1; kill <= target.kills; kill++) {
      const goal = share * kill;
      await stage.until(`${goal} are confirmed`, ({ confirmed }) => confirmed.size >= goal);
      // not always at the same point of the traffic
      await pause(Math.random() * 200);
      await node.kill();
      const before = book.read().confirmed.size;
      await node.restart();
      log(`kill ${kill} of ${target.kills}: ${before} confirmed, ${book.handled.size} handled, broker is back`);
    }
    await stage.until(`${target.confirmed} are confirmed`, ({ confirmed }) => confirmed.size >= target.confirmed);
    const ends = await stage.finish(publishers.active, TIMEOUT_MS);
    const [end] = ends;
    const outcome = await stage.judge(node.faults, ends);
    return {
      broker,
      figures: {
        kills: node.faults,
        publishers: PUBLISHERS,
        workers: `${WORKERS} × prefetch ${PREFETCH}`,
        ...outcome.figures,
        rejected: end?.rejected ?? Number.NaN,
        rejections: JSON.stringify(Object.fromEntries(book.rejected)),
        'slowest publish (ms)': Math.round(end?.slowestMs ?? Number.NaN),
      },
      bars: {
        kills: atLeast(node.faults, target.kills),
        confirmed: atLeast(outcome.confirmed, target.confirmed),
        ...outcome.bars,
        duplicates: atMost(outcome.duplicates, node.faults * (PUBLISHERS + WORKERS * PREFETCH)),
      },
    };
  });
}

export const kills: Proof = {
  name: 'kills',
  promise: 'What publish has confirmed survives the sudden death of the broker, and nothing hangs.',
  limits:
    'The process is killed, not the machine: what the system holds in its caches is not lost. One node, and quorum queues that are older than 2 s: RabbitMQ 3.10 forgets one that it is killed with in its first half second.',
  run,
};
