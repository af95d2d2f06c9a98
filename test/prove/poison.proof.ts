import { Program } from '../fault/harness/program.js';
import type { PoisonEnd, PoisonSettings, PoisonWindow } from '../fault/programs/poison.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { EXCHANGE, GROUP, Stage } from './stage.js';
import { median, quantile } from './statistics.js';

const RUN_MS = 1_800_000;
const PER_SECOND = 300;

const round = (value: number): number => Math.round(value * 100) / 100;

/** Of all events of these windows together. */
function p99(windows: readonly PoisonWindow[]): number {
  return quantile(
    windows.flatMap(({ latenciesMs }) => latenciesMs),
    0.99,
  );
}

/** How much more the second is than the first, in percent. */
const rise = (before: number, after: number): number => round((after / before - 1) * 100);

/** A window without a poison and the one with a poison beside it. */
type Pair = readonly [without: PoisonWindow, poisoned: PoisonWindow];

function pairsOf(windows: readonly PoisonWindow[]): readonly Pair[] {
  const poisoned = windows.filter(({ isPoisoned }) => isPoisoned);
  return windows
    .filter(({ isPoisoned }) => !isPoisoned)
    .flatMap((without, i) => (poisoned[i] ? [[without, poisoned[i]] as const] : []));
}

/** The half of the pairs that the rest of the machine disturbed least, whichever window of a pair it disturbed. */
function quieterHalf(pairs: readonly Pair[]): readonly Pair[] {
  const worst = ([without, poisoned]: Pair): number => Math.max(p99([without]), p99([poisoned]));
  return pairs.toSorted((a, b) => worst(a) - worst(b)).slice(0, Math.ceil(pairs.length / 2));
}

/** Without and with a poison. */
function p99s(pairs: readonly Pair[]): readonly [number, number] {
  return [p99(pairs.map(([without]) => without)), p99(pairs.map(([, poisoned]) => poisoned))];
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan: Pick<PoisonSettings, 'pairs' | 'windowMs' | 'attempts' | 'delayMs'> = short
    ? { pairs: 4, windowMs: 1_000, attempts: 4, delayMs: 250 }
    : { pairs: 240, windowMs: 1_000, attempts: 4, delayMs: 250 };
  return Stage.set(async ({ node, book }) => {
    const broker = await node.version();
    const settings: PoisonSettings = {
      url: node.url(),
      ledger: book.open('poison'),
      group: GROUP,
      exchange: EXCHANGE,
      perSecond: PER_SECOND,
      ...plan,
    };
    const program = Program.start('poison', settings, ['--expose-gc']);
    try {
      await program.ready;
      let windows = 0;
      program.listen(({ kind }) => {
        if (kind === 'window' && ++windows % 80 === 0) log(`${windows} of ${2 * plan.pairs} windows`);
      });
      const finished = program.next('finished', RUN_MS);
      program.send({ kind: 'go' });
      const { end } = (await finished) as unknown as { readonly end: PoisonEnd };
      book.read();
      const pairs = pairsOf(end.windows);
      const quiet = quieterHalf(pairs);
      const [before, after] = p99s(quiet);
      const [allBefore, allAfter] = p99s(pairs);
      const medians = [false, true].map((kind) =>
        median(end.windows.filter(({ isPoisoned }) => isPoisoned === kind).flatMap(({ latenciesMs }) => latenciesMs)),
      );
      // what differs though nothing is different
      const noise = [0, 1].map((part) => p99(quiet.flatMap(([without], i) => (i % 2 === part ? [without] : [])))) as [
        number,
        number,
      ];
      const inWindow = end.windows.reduce((sum, window) => sum + window.poisonCalls, 0);
      // one more for the first, which is not measured
      const poisons = plan.pairs + 1;
      return {
        broker,
        figures: {
          'good events': `${end.published}, ${PER_SECOND} a second`,
          windows: `${plan.pairs} of ${plan.windowMs} ms with a poison, as many without, in turns`,
          'p50 without / with (ms)': medians.map(round).join(' / '),
          'p99 without / with, the quieter half of the pairs (ms)': `${round(before)} / ${round(after)}`,
          'p99 without / with, all pairs (ms)': `${round(allBefore)} / ${round(allAfter)}`,
          'p99 rises, all pairs (%)': rise(allBefore, allAfter),
          'p99 rises between quiet windows without (%)': rise(...noise),
          reasons: end.reasons.join(', '),
        },
        bars: {
          'pairs of windows': atLeast(pairs.length, plan.pairs),
          // so they were there while their windows were measured
          'handler calls of poisons in their windows': atLeast(inWindow, Math.floor(0.9 * plan.pairs * plan.attempts)),
          'handler calls of all poisons (attempts each)': atMost(end.poisonCalls, poisons * plan.attempts),
          'poisons dead-lettered': atLeast(end.dead, poisons),
          'anything else dead-lettered': atMost(end.dead - poisons, 0),
          'good events not handled': atMost(end.published - end.handled, 0),
          // of a few windows it says nothing
          ...(short ? {} : { 'p99 rises, the quieter half of the pairs (%)': atMost(rise(before, after), 10) }),
          'unhandled rejections': atMost(book.unhandledRejections.length, 0),
        },
        series: end.windows.map((window) => ({
          poisoned: Number(window.isPoisoned),
          p50: round(median(window.latenciesMs)),
          p99: round(p99([window])),
        })),
      };
    } finally {
      if (program.isRunning) await program.kill();
    }
  });
}

export const poison: Proof = {
  name: 'poison',
  promise: 'A message that always fails costs its attempts, and does not slow down the others.',
  limits:
    'A handler that throws at once, one such message at a time, in one process. Its retry queue was declared before. Windows of a second with and without it take turns; of pairs in which the machine had other things to do, half is left out.',
  run,
};
