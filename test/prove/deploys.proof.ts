import { setTimeout as pause } from 'node:timers/promises';
import type { Fleet } from '../fault/harness/fleet.js';
import { drainQueues } from '../fault/harness/queue-contents.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { leftIn } from './queues.js';
import { GROUP, Stage } from './stage.js';

/** After the service and the class of its handler. */
const AUDIT_GROUP = 'deployed.AuditListener.on';
const TOPICS = ['work.do', 'audit.do', 'work.extra', 'work.new', 'audited.it'];
const END_MS = 15_000;
const SETTINGS = { publishers: 4, pauseMs: 10, window: 1_000, timeoutMs: 30_000, failOneOf: 10, topics: TOPICS };
/** What is said of a queue that is there with other arguments. */
const CONFLICT = /TopologyConflict|TOPOLOGY_CONFLICT|precondition_failed|inequivalent/i;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan = short
    ? { switches: 3, phaseMs: 2_000, overlapMs: 500, unmatchedMs: 200 }
    : { switches: 20, phaseMs: 4_000, overlapMs: 1_500, unmatchedMs: 300 };
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const versions: readonly Fleet[] = ([1, 2] as const).map((version) =>
      stage.deployed({ ...SETTINGS, version, unmatchedMs: plan.unmatchedMs }),
    );
    const failures: string[] = [];
    await versions[0]?.start(1);
    for (let i = 1; i <= plan.switches; i++) {
      const goal = book.read().handlings + 100;
      await pause(plan.phaseMs);
      await stage.until('it handles', ({ handlings }) => handlings >= goal);
      const [old, next] = [versions[(i - 1) % 2], versions[i % 2]];
      await next?.start(1);
      await pause(plan.overlapMs);
      const program = old?.pick();
      const exit = await program?.terminate(END_MS);
      if (exit?.code !== 0) failures.push(program?.describe('ended badly') ?? 'was not there');
      if (i % 5 === 0) log(`${i} of ${plan.switches}: ${book.handled.size} handled`);
    }
    // what only the second version understands is for the second version
    if (plan.switches % 2 === 0) await versions[1]?.start(1);
    for (const fleet of versions) for (const program of fleet.active) program.send({ kind: 'stop' });
    await stage.settle();
    const contents = await leftIn(node, GROUP, AUDIT_GROUP);
    await stage.endPrograms();
    const audit = await drainQueues(node.url(), AUDIT_GROUP);
    for (const failure of failures.slice(0, 3)) log(failure);
    const outcome = await stage.judge(plan.switches, book.ends);
    const conflicts = [...book.logs, ...(await node.log()).split('\n')].filter((line) => CONFLICT.test(line));
    const told = (text: string): readonly string[] => book.logs.filter((line) => line.includes(text));
    for (const line of [...conflicts.slice(0, 3), ...told('is dead after').slice(0, 3)]) log(line);
    const unmatched = told('is understood by no handler here').length;
    return {
      broker,
      figures: {
        switches: plan.switches,
        'failed on purpose': book.thrown,
        'given back because not understood': unmatched,
        'most handler calls of one message': Math.max(...book.calls.values()),
        ...outcome.figures,
        'not empty at the end': contents.map(([name, messages]) => `${name}: ${messages}`).join(', ') || 'none',
      },
      bars: {
        switches: atLeast(plan.switches - failures.length, plan.switches),
        'topology conflicts in any log': atMost(conflicts.length, 0),
        ...outcome.bars,
        'dead-lettered': atMost(outcome.dead + audit.dead.size, 0),
        'queues not empty at the end': atMost(contents.length, 0),
        // so the first version got what only the second one understands
        'given back because not understood': atLeast(unmatched, 10 * plan.switches),
        'failed on purpose': atLeast(book.thrown, plan.switches),
        'publishers that told no end': atMost(book.begun - book.ends.length, 0),
      },
    };
  });
}

export const deploys: Proof = {
  name: 'deploys',
  promise: 'Versions of a service replace each other under load, forth and back: nothing is refused, lost or dead.',
  limits:
    'Two versions in turns, with short delays. What only the new one understands waits as long as the policy `unmatched` of the old one says, and is dead after that.',
  run,
};
