import type { Operator } from './operator.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';

/** Publishes in flight of a replay, at most: so many copies can be safe there and not yet removed here. */
const WINDOW = 1_000;
const WORKER = { prefetch: 500, concurrency: 250, handlerMs: 0, attempts: 1 } as const;
const TIMEOUT_MS = 30_000;

/** Has so many events and a few more fail, without a retry. @returns the dead letters */
async function bury(stage: Stage, operator: Operator, letters: number): Promise<number> {
  const { book } = stage;
  const failing = stage.workers({ ...WORKER, failOneOf: 1 });
  await failing.start(1);
  const goal = book.read().confirmed.size + letters;
  const publishers = stage.publishers({ publishers: 200, window: WINDOW, timeoutMs: TIMEOUT_MS });
  await publishers.start(1);
  await stage.until(`${goal} are confirmed`, ({ confirmed }) => confirmed.size >= goal);
  await stage.finish(publishers.active, TIMEOUT_MS);
  await publishers.dispose(TIMEOUT_MS);
  await stage.until('all have failed', ({ confirmed, thrown }) => thrown >= confirmed.size);
  await failing.dispose(TIMEOUT_MS);
  return operator.count();
}

/** Replays all while a handler that succeeds is there. */
async function replayAll(stage: Stage, operator: Operator): Promise<Readonly<Record<string, number>>> {
  const { book } = stage;
  const mended = stage.workers(WORKER);
  await mended.start(1);
  const { count, beganAt, endedAt } = await operator.replay();
  await stage.until('what was replayed is handled', ({ handled }) => handled.size >= count, TIMEOUT_MS);
  await mended.dispose(TIMEOUT_MS);
  const [handled, left] = [book.read().handled.size, await operator.count()];
  return {
    count,
    perSecond: Math.round((count / (endedAt - beganAt)) * 1_000),
    handledPerSecond: Math.round((handled / (book.lastHandledAt - beganAt)) * 1_000),
    twice: book.handlings - handled,
    left,
  };
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const letters = short ? 1_000 : 10_000;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const operator = await stage.operator();

    const dead = await bury(stage, operator, letters);
    const reasons = new Set((await operator.list()).map(({ reason, attempts }) => `${reason} (${attempts})`));
    log(`${dead} dead letters`);
    const replayed = await replayAll(stage, operator);
    log(`replayed: ${JSON.stringify(replayed)}`);

    const deadAgain = await bury(stage, operator, letters);
    log(`${deadAgain} dead letters more`);
    const workers = stage.workers(WORKER);
    await workers.start(1);
    const goal = book.read().handled.size + deadAgain / 2;
    const victim = await stage.operator();
    victim.beginReplay();
    await stage.until('half is handled', ({ handled }) => handled.size >= goal);
    await victim.kill();
    const left = await operator.count();
    const rest = await operator.replay();
    log(`killed in the middle; ${left} were left, ${rest.count} replayed by another`);
    const outcome = await stage.judge(1, book.ends);
    return {
      broker,
      figures: {
        'dead letters': `${dead} and ${deadAgain}`,
        'reasons (attempts)': [...reasons].join(', '),
        'handled (1/s)': replayed.handledPerSecond ?? 0,
        'dead letters left at the SIGKILL': left,
        'of these replayed by another': rest.count,
        ...outcome.figures,
      },
      bars: {
        'dead letters': atLeast(Math.min(dead, deadAgain), letters),
        replayed: atLeast(replayed.count ?? 0, dead),
        'dead letters left after a replay': atMost(replayed.left ?? dead, 0),
        'handlings beyond the first, of a replay that was let end': atMost(replayed.twice ?? dead, 0),
        // of a thousand it says little
        ...(short ? {} : { 'replayed (1/s)': atLeast(replayed.perSecond ?? 0, 2_000) }),
        // so it was killed in the middle
        'left at the SIGKILL': atLeast(left, 1),
        ...outcome.bars,
        'duplicates (publish window)': atMost(outcome.duplicates, WINDOW),
      },
    };
  });
}

export const replay: Proof = {
  name: 'replay',
  promise: 'Dead letters are replayed fast, each once; a replay that is killed in the middle loses nothing.',
  limits: 'One group, small bodies, a handler that takes no time, and nobody else at work on the broker.',
  run,
};
