import { setTimeout as pause } from 'node:timers/promises';
import { Program, type ProgramMessage } from '../fault/harness/program.js';
import type { RenamedOrder, RenamedSettings } from '../fault/programs/renamed.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { leftIn, queuesOf } from './queues.js';
import { EXCHANGE, GROUP, Stage } from './stage.js';

const TIMEOUT_MS = 30_000;
const GONE_MS = 120_000;
/** Handled before, during and after each rename. */
const BETWEEN = 500;
const FAIL_ONE_OF = 50;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const renames = short ? 1 : 3;
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const proxy = await new TcpProxy(node.url()).listen();
    const settings: RenamedSettings = {
      url: node.url().replace(String(node.port), String(proxy.port)),
      ledger: book.open('renamed'),
      group: GROUP,
      exchange: EXCHANGE,
      prefetch: 20,
      concurrency: 10,
      handlerMs: 5,
      failOneOf: FAIL_ONE_OF,
      ...(short && { unusedMs: 2_000 }),
    };
    const versions = Program.start('renamed', settings);
    const order = async (kind: RenamedOrder['kind'], version: number): Promise<ProgramMessage> => {
      const done = versions.next(kind, TIMEOUT_MS);
      versions.send({ kind, version });
      return done;
    };
    const flows = async (): Promise<void> => {
      const goal = book.read().handled.size + BETWEEN;
      await stage.until(`${goal} are handled`, ({ handled }) => handled.size >= goal);
    };
    try {
      await versions.ready;
      await order('open', 0);
      const publishers = stage.publishers({ publishers: 6, pauseMs: 10, window: 1_000, timeoutMs: TIMEOUT_MS });
      await publishers.start(1);
      let suppressed = 0;
      let stayed: readonly string[] = [];
      let gone = 0;
      let slowestGoneMs = 0;
      for (let version = 1; version <= renames; version++) {
        await flows();
        const before = await queuesOf(node, `${GROUP}.${version - 1}`);
        await order('open', version);
        await flows();
        // so that deliveries come again whose handler has run
        proxy.reset();
        await flows();
        suppressed += Number((await order('close', version - 1)).duplicates);
        const closedAt = Date.now();
        let old = await queuesOf(node, `${GROUP}.${version - 1}`);
        while (old.length > 0 && Date.now() - closedAt < GONE_MS) {
          await pause(200);
          old = await queuesOf(node, `${GROUP}.${version - 1}`);
        }
        stayed = [...stayed, ...old.map(([name]) => name)];
        gone += before.length - old.length;
        slowestGoneMs = Math.max(slowestGoneMs, Date.now() - closedAt);
        log(`rename ${version} of ${renames}: ${book.handled.size} handled, ${old.length} of its queues are left`);
      }
      await flows();
      const ends = await stage.finish(publishers.active, TIMEOUT_MS);
      await stage.settle();
      const left = await leftIn(node, `${GROUP}.${renames}`);
      suppressed += Number((await order('close', renames)).duplicates);
      const outcome = await stage.judge(renames, ends, [], `${GROUP}.${renames}`);
      return {
        broker,
        figures: {
          renames,
          'connections reset': proxy.resets,
          'brought again and not handled again': suppressed,
          'old queues gone after the old version, slowest (ms)': slowestGoneMs,
          ...outcome.figures,
          'old queues that stayed': stayed.join(', ') || 'none',
        },
        bars: {
          ...outcome.bars,
          // each is an effect that happened twice
          duplicates: atMost(outcome.duplicates, 0),
          // of each its own, that of its dead letters, and one for its retries
          'old queues gone': atLeast(gone, 3 * renames),
          'old queues that stayed': atMost(stayed.length, 0),
          'queues not empty at the end': atMost(left.length, 0),
          // so there was something that could have been handled twice
          'brought again and not handled again': atLeast(suppressed, 1),
          'connections reset': atLeast(proxy.resets, renames),
          'failed on purpose': atLeast(book.thrown, renames),
        },
      };
    } finally {
      if (versions.isRunning) await versions.terminate(TIMEOUT_MS);
      await proxy.close();
    }
  });
}

export const rename: Proof = {
  name: 'rename',
  promise: 'A group is renamed under load: nothing is lost, nothing has an effect twice, and its old queues go.',
  limits:
    'Old and new version run side by side and share an inbox, which is in memory here. Of dead letters under the old name it says nothing.',
  run,
};
