import { setTimeout as pause } from 'node:timers/promises';
import type { Fleet } from '../fault/harness/fleet.js';
import type { Program } from '../fault/harness/program.js';
import type { Operator } from './operator.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';

/** What the queue of a group is declared with. */
const DELIVERY_LIMIT = 20;
const WORKER = { prefetch: 20, concurrency: 10, handlerMs: 20, autoStart: false } as const;
const SPARES = 2;
const TIMEOUT_MS = 30_000;
const CRASH_MS = 60_000;
/** Handled between two kills. */
const BETWEEN = 100;

/** Kills the one worker while it handles, and has the next one work. @returns how often a handler was cut off */
async function killInHandlers(stage: Stage, workers: Fleet, kills: number): Promise<number> {
  const { book } = stage;
  // runs that neither returned nor threw: nobody else works, so those of the dead were cut off
  const open = (): number => book.read().runs - book.handlings - book.thrown;
  let times = 0;
  for (let kill = 1, cutOff = 0; kill <= kills; kill++) {
    const goal = book.read().handlings + BETWEEN;
    await stage.until(`${goal} are handled`, ({ handlings }) => handlings >= goal);
    await stage.until('a handler runs', () => open() > cutOff);
    await workers.pick().kill();
    if (open() > cutOff) times++;
    cutOff = open();
    await workers.activate();
  }
  return times;
}

/** Publishes an event that ends whoever handles it. @returns its id */
async function poison(stage: Stage, publisher: Program): Promise<string> {
  const poisoned = publisher.next('poisoned', TIMEOUT_MS);
  publisher.send({ kind: 'poison' });
  const id = String((await poisoned).id);
  // on record, and not to be waited for
  await stage.until('it is on record', ({ confirmed }) => confirmed.delete(id));
  return id;
}

/** Has one worker after the other crash, until what does it is dead. @returns the crashes */
async function crashUntilDead(workers: Fleet, operator: Operator): Promise<number> {
  for (let crashes = 0; ; ) {
    const worker = workers.pick();
    worker.isDoomed = true;
    const end = Date.now() + CRASH_MS;
    while (worker.isRunning) {
      if ((await operator.count()) > 0) {
        worker.isDoomed = false;
        return crashes;
      }
      if (Date.now() > end) throw new Error(worker.describe('did not crash, and nothing is dead'));
      await pause(50);
    }
    const { signal } = await worker.exit;
    if (signal !== 'SIGABRT') throw new Error(worker.describe('should have aborted'));
    crashes++;
    await workers.activate();
  }
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const kills = short ? 4 : 50;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const operator = await stage.operator();
    const workers = stage.crashers(WORKER, SPARES);
    await workers.start(1);
    const publishers = stage.publishers({ publishers: 4, pauseMs: 20, window: 1_000, timeoutMs: TIMEOUT_MS });
    await publishers.start(1);
    const [publisher] = publishers.active;
    if (!publisher) throw new Error('Nobody publishes.');
    const inHandlers = await killInHandlers(stage, workers, kills);
    log(`${inHandlers} of ${kills} killed in a handler, ${book.handled.size} handled`);
    const id = await poison(stage, publisher);
    const crashes = await crashUntilDead(workers, operator);
    log(`dead after ${crashes} crashes`);
    const [letter, ...others] = await operator.list();
    const goal = book.read().handlings + BETWEEN;
    await stage.until('it goes on', ({ handlings }) => handlings >= goal);
    const ends = await stage.finish(publishers.active, TIMEOUT_MS);
    const outcome = await stage.judge(kills + crashes, ends);
    const calls = [...book.calls].filter(([other]) => other !== id).map(([, times]) => times);
    const isFromTheBroker = letter?.id === id && letter.reason === 'delivery-limit';
    return {
      broker,
      figures: {
        'SIGKILLs in a handler': inHandlers,
        'crashes by one event': crashes,
        'its reason': letter?.reason ?? 'none',
        'most handler calls of another': Math.max(...calls),
        ...outcome.figures,
      },
      bars: {
        'SIGKILLs in a handler': atLeast(inHandlers, kills),
        ...outcome.bars,
        'dead-lettered': atMost(outcome.dead, 1),
        'dead by the delivery limit, with that as its reason': atLeast(Number(isFromTheBroker), 1),
        'other dead letters': atMost(others.length, 0),
        'crashes by one event': atLeast(crashes, 2),
        'its handler calls (delivery limit + 1)': atMost(book.calls.get(id) ?? 0, DELIVERY_LIMIT + 1),
      },
    };
  });
}

export const crashes: Proof = {
  name: 'crashes',
  promise: 'An event that ends every process which handles it is dead in the end, and all others are handled.',
  limits: 'One worker at a time, replaced at once. The process is killed or aborts, not the machine.',
  run,
};
