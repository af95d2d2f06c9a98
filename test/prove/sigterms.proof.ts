import { setTimeout as pause } from 'node:timers/promises';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { Stage } from './stage.js';
import { median } from './statistics.js';

const SERVICES = 3;
const SPARES = 2;
const PREFETCH = 20;
const DEADLINE_MS = 10_000;
/** Confirmed between two signals. */
const BETWEEN = 600;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const signals = short ? 4 : 100;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const services = stage.services(
      {
        prefetch: PREFETCH,
        concurrency: PREFETCH / 2,
        handlerMs: 3,
        publishers: 10,
        window: 1_000,
        timeoutMs: 30_000,
        autoStart: false,
        deadlineMs: DEADLINE_MS,
      },
      SPARES,
    );
    await services.start(SERVICES);
    const times: number[] = [];
    const failures: string[] = [];
    for (let signal = 1; signal <= signals; signal++) {
      const goal = book.read().confirmed.size + BETWEEN;
      await stage.until(`${goal} are confirmed`, ({ confirmed }) => confirmed.size >= goal);
      await pause(Math.random() * 50);
      const program = services.pick();
      const { code, signal: by, ms } = await program.terminate(DEADLINE_MS + 5_000);
      times.push(ms);
      if (code !== 0) failures.push(program.describe(`ended with code ${code}, signal ${by}`));
      await services.activate();
      if (signal % Math.ceil(signals / 10) === 0)
        log(`${signal} of ${signals}: ${book.read().confirmed.size} confirmed`);
    }
    await Promise.all(services.active.map((program) => program.terminate(DEADLINE_MS + 5_000)));
    // nobody has published since: what the last ones left behind belongs to one that only handles
    const last = stage.workers({ prefetch: PREFETCH, concurrency: PREFETCH, handlerMs: 0 });
    await last.start(1);
    const outcome = await stage.judge(times.length, book.read().ends);
    const untold = book.begun - book.ends.length;
    for (const failure of failures.slice(0, 3)) log(failure);
    const worst = Math.round(Math.max(...times));
    return {
      broker,
      figures: {
        SIGTERMs: times.length,
        ...outcome.figures,
        'median time to exit (ms)': Math.round(median(times)),
        'longest time to exit (ms)': worst,
      },
      bars: {
        SIGTERMs: atLeast(times.length, signals),
        ...outcome.bars,
        'exits with a code other than 0': atMost(failures.length, 0),
        'longest time to exit (ms)': atMost(worst, DEADLINE_MS),
        'publishers that told no end': atMost(untold, 0),
      },
    };
  });
}

export const sigterms: Proof = {
  name: 'sigterms',
  promise: 'A service that is told to end under load ends in time, in good order, and loses nothing.',
  limits:
    'Handlers of a few milliseconds and a broker that answers: what takes longer than the deadline comes again elsewhere.',
  run,
};
