import { Program } from '../fault/harness/program.js';
import type { PoisonEnd, PoisonSettings, PoisonWindow } from '../fault/programs/poison.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { EXCHANGE, GROUP, Stage } from './stage.js';
import { median, quantile } from './statistics.js';

const RUN_MS = 1_800_000;
const PER_SECOND = 300;

const round = (value: number): number => Math.round(value * 100) / 100;
const p99 = ({ latenciesMs }: PoisonWindow): number => quantile(latenciesMs, 0.99);

/** How much more the second is than the first, in percent. */
const rise = (without: number, poisoned: number): number => round((poisoned / without - 1) * 100);

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan: Pick<PoisonSettings, 'pairs' | 'windowMs' | 'attempts' | 'delayMs'> = short
    ? { pairs: 2, windowMs: 2_000, attempts: 4, delayMs: 400 }
    : { pairs: 60, windowMs: 3_000, attempts: 6, delayMs: 500 };
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
        if (kind === 'window' && ++windows % 20 === 0) log(`${windows} of ${2 * plan.pairs} windows`);
      });
      const finished = program.next('finished', RUN_MS);
      program.send({ kind: 'go' });
      const { end } = (await finished) as unknown as { readonly end: PoisonEnd };
      book.read();
      const poisoned = end.windows.filter(({ isPoisoned }) => isPoisoned);
      const without = end.windows.filter(({ isPoisoned }) => !isPoisoned);
      const [before, after] = [without, poisoned].map((kind) => median(kind.map(p99))) as [number, number];
      const [pooled, pooledAfter] = [without, poisoned].map((kind) =>
        quantile(
          kind.flatMap(({ latenciesMs }) => latenciesMs),
          0.99,
        ),
      ) as [number, number];
      const medians = [without, poisoned].map((kind) => median(kind.flatMap(({ latenciesMs }) => latenciesMs)));
      // one more for the first, which is not measured
      const poisons = plan.pairs + 1;
      return {
        broker,
        figures: {
          'good events': `${end.published}, ${PER_SECOND} a second`,
          windows: `${plan.pairs} of ${plan.windowMs} ms with a poison, as many without, in turns`,
          'p50 without / with (ms)': medians.map(round).join(' / '),
          'p99 without / with, median of the windows (ms)': `${round(before)} / ${round(after)}`,
          'p99 without / with, all windows as one (ms)': `${round(pooled)} / ${round(pooledAfter)}`,
          'p99 rises, all windows as one (%)': rise(pooled, pooledAfter),
          'p99 rises, median of the pairs (%)': rise(1, median(poisoned.map((w, i) => p99(w) / p99(without[i] ?? w)))),
          reasons: end.reasons.join(', '),
        },
        bars: {
          'windows with a poison': atLeast(poisoned.length, plan.pairs),
          // so it was there while its window was measured
          'handler calls of a poison in its window, at least': atLeast(
            Math.min(...poisoned.map((window) => window.poisonCalls)),
            plan.attempts,
          ),
          'handler calls of all poisons (attempts each)': atMost(end.poisonCalls, poisons * plan.attempts),
          'poisons dead-lettered': atLeast(end.dead, poisons),
          'anything else dead-lettered': atMost(end.dead - poisons, 0),
          'good events not handled': atMost(end.published - end.handled, 0),
          // of two windows it says nothing
          ...(short ? {} : { 'p99 rises, median of the windows (%)': atMost(rise(before, after), 10) }),
          'unhandled rejections': atMost(book.unhandledRejections.length, 0),
        },
        series: end.windows.map((window) => ({
          poisoned: Number(window.isPoisoned),
          p50: round(median(window.latenciesMs)),
          p99: round(p99(window)),
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
    'A handler that throws at once, one such message at a time, in one process. What is done once for each delay, to declare its retry queue, came before. Of noise that lasts as long as a window the median takes no notice.',
  run,
};
