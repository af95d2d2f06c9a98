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
    let inWork = 0;
    while (killed < kills) {
      const goal = book.read().handlings + BETWEEN;
      await stage.until(`${goal} are handled`, ({ handlings }) => handlings >= goal);
      await pause(Math.random() * 20);
      const victim = workers.pick();
      const before = book.read().unfinished;
      await victim.kill();
      killed++;
      // what it had begun and will never finish
      if (book.read().unfinished > 0 || before > 0) inWork++;
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
        'handler calls beyond the first of a message': extra,
        'most handler calls of one message': most,
        'kills that hit running handlers': inWork,
      },
      bars: {
        kills: atLeast(killed, kills),
        ...outcome.bars,
        'most handler calls of one message': atMost(most, 1 + killed),
        'handler calls beyond the first, all messages': atMost(extra, killed * PREFETCH),
      },
    };
  });
}

export const workers: Proof = {
  name: 'workers',
  promise: 'Workers may be killed at any moment: every message is handled, and no more often than there were kills.',
  limits: 'Handlers are called again after a kill, so that effects can happen twice: they have to bear it.',
  run,
};
