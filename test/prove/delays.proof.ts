import { Program } from '../fault/harness/program.js';
import type { DelaysEnd, DelaysSettings, Wait } from '../fault/programs/delays.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { EXCHANGE, GROUP, Stage } from './stage.js';
import { quantile } from './statistics.js';

const RUN_MS = 300_000;
/** Clocks are read in two places; a wait that is shorter than asked for by no more than this is no wait cut short. */
const EARLY_MS = 5;

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** Median, 99 of 100, and the worst. */
function summary(errors: readonly number[]): string {
  return [0.5, 0.99, 1].map((part) => round(quantile(errors, part))).join(' / ');
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan: Pick<DelaysSettings, 'messages' | 'perSecond' | 'levelsMs' | 'putOff' | 'putOffMs'> = short
    ? { messages: 90, perSecond: 45, levelsMs: [300, 1_000, 3_000], putOff: 10, putOffMs: [1_000] }
    : { messages: 1_000, perSecond: 50, levelsMs: [1_000, 5_000, 30_000], putOff: 100, putOffMs: [1_000, 5_000] };
  return Stage.set(async ({ node, book }) => {
    const broker = await node.version();
    const settings: DelaysSettings = {
      url: node.url(),
      ledger: book.open('delays'),
      group: GROUP,
      exchange: EXCHANGE,
      ...plan,
    };
    const program = Program.start('delays', settings);
    try {
      await program.ready;
      const finished = program.next('finished', RUN_MS);
      program.send({ kind: 'go' });
      log(
        `${plan.messages} events, ${plan.perSecond} a second, each waits ${plan.levelsMs.join(', ')} ms in some order`,
      );
      const { end } = (await finished) as unknown as { readonly end: DelaysEnd };
      const errorsOf = (kind: Wait['kind'], levelMs?: number): readonly number[] =>
        end.waits
          .filter((wait) => wait.kind === kind && (levelMs === undefined || wait.levelMs === levelMs))
          .map(({ errorMs }) => errorMs);
      const errors = errorsOf('retry');
      const outside = end.waits.filter(
        ({ kind, levelMs, errorMs }) => kind === 'retry' && errorMs > 0.1 * levelMs + 200,
      );
      const putOffs = end.waits.filter(({ kind }) => kind !== 'retry');
      const figures: Record<string, number | string> = { events: plan.messages };
      for (const level of plan.levelsMs)
        figures[`late after ${level} ms: p50 / p99 / max (ms)`] = summary(errorsOf('retry', level));
      for (const ms of plan.putOffMs) {
        figures[`RetryLaterError(${ms}): p50 / p99 / max (ms)`] = summary(errorsOf('later', ms));
        figures[`delayMs: ${ms}: p50 / p99 / max (ms)`] = summary(errorsOf('publish', ms));
      }
      book.read();
      return {
        broker,
        figures,
        bars: {
          'delays measured': atLeast(errors.length, plan.messages * plan.levelsMs.length),
          // of so few one of a hundred is the first of its level, which declares the queue
          [`${short ? 'p50' : 'p99'} of the error (ms)`]: atMost(
            round(quantile(errors.map(Math.abs), short ? 0.5 : 0.99)),
            150,
          ),
          'earliest (ms)': atLeast(round(Math.min(...errors)), -EARLY_MS),
          ...(short ? {} : { 'later than 10 % + 200 ms': atMost(outside.length, 0) }),
          'handler calls': atMost(end.calls, plan.messages * (plan.levelsMs.length + 1)),
          'handled in the end': atLeast(end.succeeded, plan.messages),
          'put off and handled': atLeast(putOffs.length, 2 * plan.putOff * plan.putOffMs.length),
          'put off, earliest (ms)': atLeast(round(Math.min(...putOffs.map(({ errorMs }) => errorMs))), -EARLY_MS),
          'unhandled rejections': atMost(book.unhandledRejections.length, 0),
        },
      };
    } finally {
      if (program.isRunning) await program.kill();
    }
  });
}

export const delays: Proof = {
  name: 'delays',
  promise: 'A failed event is tried again when its retry policy says so, whatever else waits beside it.',
  limits:
    'From the failure of one attempt to the start of the next, in a process and a broker that have time. Put-off times between two levels, other than those measured, come up to 1 s later.',
  run,
};
