import { setTimeout as pause } from 'node:timers/promises';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';

const WORKERS = 4;
const SPARES = 3;
const PREFETCH = 32;
const TIMEOUT_MS = 30_000;
/** Handled between two kills. */
const BETWEEN = 400;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const kills = short ? 5 : 200;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const workers = stage.workers(
      { prefetch: PREFETCH, concurrency: PREFETCH, handlerMs: 2, autoStart: false },
      SPARES,
    );
    await workers.start(WORKERS);
    const publishers = stage.publishers({ publishers: 20, window: 1_000, timeoutMs: TIMEOUT_MS });
    await publishers.start(1);
    let killed = 0;
    while (killed < kills) {
      const goal = book.read().handlings + BETWEEN;
      await stage.until(`${goal} are handled`, ({ handlings }) => handlings >= goal);
      await pause(Math.random() * 20);
      await workers.pick().kill();
      killed++;
      await workers.activate();
      if (killed % Math.ceil(kills / 10) === 0) log(`${killed} of ${kills} killed, ${book.handlings} handled`);
    }
    const ends = await stage.finish(publishers.active, TIMEOUT_MS);
    const outcome = await stage.judge(killed, ends);
    const calls = [...book.calls.values()];
    const most = calls.reduce((max, times) => Math.max(max, times), 0);
    const extra = calls.reduce((sum, times) => sum + times - 1, 0);
    return {
      broker,
      figures: {
        kills: killed,
        workers: `${WORKERS} × prefetch ${PREFETCH}`,
        ...outcome.figures,
        'most handler calls of one message': most,
      },
      bars: {
        kills: atLeast(killed, kills),
        ...outcome.bars,
        'most handler calls of one message': atMost(most, 1 + killed),
        'handler calls beyond the first, all messages': atMost(extra, killed * PREFETCH),
        // so handlers were running when their process was killed
        'handler calls beyond the first, at least': atLeast(extra, Math.floor(kills / 4)),
      },
    };
  });
}

export const workers: Proof = {
  name: 'workers',
  promise:
    'Workers may be killed at any moment: every message is handled, and called for at most once more for each kill.',
  limits: 'Handlers are called again after a kill, so that effects can happen twice: they have to bear it.',
  run,
};
