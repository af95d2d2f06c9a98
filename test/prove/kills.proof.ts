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
    const [end] = await stage.finish(publishers.active, TIMEOUT_MS);
    const verdict = await stage.judge(node.faults, end?.pending ?? Number.NaN);
    return {
      broker,
      figures: {
        kills: node.faults,
        publishers: PUBLISHERS,
        workers: `${WORKERS} × prefetch ${PREFETCH}`,
        confirmed: verdict.confirmed,
        rejected: end?.rejected ?? Number.NaN,
        rejections: JSON.stringify(Object.fromEntries(book.rejected)),
        handled: verdict.handled,
        'dead-lettered': verdict.dead,
        'left in a queue': verdict.left,
        duplicates: verdict.duplicates,
        'slowest publish (ms)': Math.round(end?.slowestMs ?? Number.NaN),
        problems: verdict.problems.join('; ') || 'none',
      },
      bars: {
        kills: atLeast(node.faults, target.kills),
        confirmed: atLeast(verdict.confirmed, target.confirmed),
        lost: atMost(verdict.lost.length, 0),
        'handled, never published': atMost(verdict.unknown.length, 0),
        duplicates: atMost(verdict.duplicates, node.faults * (PUBLISHERS + WORKERS * PREFETCH)),
        'publishes pending at the end': atMost(end?.pending ?? Number.NaN, 0),
        'publishes settled later than timeout + 1 s': atMost(end?.late ?? Number.NaN, 0),
        'unhandled rejections': atMost(book.unhandledRejections.length, 0),
        problems: atMost(verdict.problems.length, 0),
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
