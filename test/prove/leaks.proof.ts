import { Program } from '../fault/harness/program.js';
import type { Holdings, LeaksEnd, LeaksSettings } from '../fault/programs/leaks.js';
import { atLeast, atMost, type Bar, type Figures, type Proof, type ProofOptions } from './proof.js';
import { EXCHANGE, GROUP, Stage } from './stage.js';

const HEAP_LIMIT_MIB = 1;
/** After so few rounds V8 is still busy with itself. */
const SHORT_HEAP_LIMIT_MIB = 2;
const RUN_MS = 3_600_000;

const handlesOf = ({ handles }: Holdings): number => Object.values(handles).reduce((sum, count) => sum + count, 0);

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan = short ? { applications: 20, subscriptions: 200 } : { applications: 1_000, subscriptions: 10_000 };
  return Stage.set(async ({ node, book }) => {
    const broker = await node.version();
    const settings: LeaksSettings = {
      url: node.url(),
      ledger: book.open('leaks'),
      group: GROUP,
      exchange: EXCHANGE,
      ...plan,
    };
    const program = Program.start('leaks', settings, ['--expose-gc']);
    try {
      await program.ready;
      program.listen(({ kind, name }) => {
        if (kind === 'told') log(`${String(name)}: done`);
      });
      const finished = program.next('finished', RUN_MS);
      program.send({ kind: 'go' });
      const { end } = (await finished) as unknown as { readonly end: LeaksEnd };
      const figures: Record<string, number | string> = {};
      const bars: Record<string, Bar> = {};
      for (const [name, { before, after }] of Object.entries(end)) {
        const growth = Number((after.heapMiB - before.heapMiB).toFixed(3));
        figures[`${name}: heap (MiB)`] = `${before.heapMiB.toFixed(2)} → ${after.heapMiB.toFixed(2)}`;
        figures[`${name}: handles`] = `${JSON.stringify(before.handles)} → ${JSON.stringify(after.handles)}`;
        figures[`${name}: listeners`] = `${before.listeners} → ${after.listeners}`;
        bars[name] = atLeast(after.done, name.startsWith('applications') ? plan.applications : plan.subscriptions);
        bars[`${name}: heap growth (MiB)`] = atMost(growth, short ? SHORT_HEAP_LIMIT_MIB : HEAP_LIMIT_MIB);
        bars[`${name}: more handles and timers`] = atMost(handlesOf(after) - handlesOf(before), 0);
        bars[`${name}: more listeners`] = atMost(after.listeners - before.listeners, 0);
      }
      book.read();
      bars['warnings of Node'] = atMost(book.warnings.length, 0);
      bars['unhandled rejections'] = atMost(book.unhandledRejections.length, 0);
      return { broker, figures, bars };
    } finally {
      if (program.isRunning) await program.kill();
    }
  });
}

export const leaks: Proof = {
  name: 'leaks',
  promise: 'Opening and closing, subscribing and cancelling leave nothing behind, however often.',
  limits:
    'Against the state after a round of the same size to warm up. Heap after forced collections, in one process; timers that do not keep a process alive are not counted.',
  run,
};
