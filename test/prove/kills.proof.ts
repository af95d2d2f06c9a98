import { setTimeout as pause } from 'node:timers/promises';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';

const PATIENT = { publishers: 16, timeoutMs: 60_000 };
/** Gives up while the broker is away, which takes it some 5 s. */
const HASTY = { publishers: 4, timeoutMs: 2_000 };
const PUBLISHERS = PATIENT.publishers + HASTY.publishers;
const WORKERS = 2;
const PREFETCH = 32;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const target = short ? { kills: 2, confirmed: 5_000 } : { kills: 20, confirmed: 250_000 };
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const workers = stage.workers({ prefetch: PREFETCH, concurrency: PREFETCH, handlerMs: 1 });
    await workers.start(WORKERS);
    // each loop waits for its confirmation before it publishes again, so no more than one each is in flight
    const fleets = [PATIENT, HASTY].map((kind) => stage.publishers({ ...kind, window: 1_000 }));
    for (const fleet of fleets) await fleet.start(1);
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
    const ends = await stage.finish(
      fleets.flatMap(({ active }) => active),
      PATIENT.timeoutMs,
    );
    const outcome = await stage.judge(node.faults, ends);
    return {
      broker,
      figures: {
        kills: node.faults,
        publishers: `${PATIENT.publishers} that wait for ${PATIENT.timeoutMs} ms, ${HASTY.publishers} for ${HASTY.timeoutMs} ms`,
        workers: `${WORKERS} × prefetch ${PREFETCH}`,
        ...outcome.figures,
      },
      bars: {
        kills: atLeast(node.faults, target.kills),
        confirmed: atLeast(outcome.confirmed, target.confirmed),
        ...outcome.bars,
        // the hasty ones, at each kill: so there was something that had to settle by its timeout
        'publishes that timed out': atLeast(book.rejected.get('PUBLISH_TIMEOUT') ?? 0, target.kills),
        'duplicates (kills × (publishers + prefetch))': atMost(
          outcome.duplicates,
          node.faults * (PUBLISHERS + WORKERS * PREFETCH),
        ),
      },
    };
  });
}

export const kills: Proof = {
  name: 'kills',
  promise: 'What publish has confirmed survives the sudden death of the broker, and nothing hangs.',
  limits:
    '20 publishes are in flight. The process is killed, not the machine: what the system holds in its caches is not lost. One node, and quorum queues that are older than 2 s: RabbitMQ 3.10 forgets one that it is killed with in its first half second.',
  run,
};
