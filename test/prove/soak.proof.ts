import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LedgerReader } from '../fault/harness/ledger.js';
import { Program } from '../fault/harness/program.js';
import { drainQueues } from '../fault/harness/queue-contents.js';
import type { SoakEnd, SoakSettings } from '../fault/programs/soak.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { EXCHANGE, GROUP, RETRY_MS, Stage } from './stage.js';
import { median, theilSen } from './statistics.js';

const PER_SECOND = 500;
const FAIL_ONE_OF = 100;
const TIMEOUT_MS = 30_000;
const WARM_UP_MINUTES = 5;
const CUT_WAIT_MS = 200;
const SLOPE_LIMIT = 0.1;

type Sample = Readonly<Record<string, number>>;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const plan = short
    ? { seconds: 60, resetMs: 10_000, sampleMs: 5_000, resets: 5 }
    : { seconds: 3_600, resetMs: 60_000, sampleMs: 30_000, resets: 59 };
  return Stage.set(async ({ node, book }) => {
    const broker = await node.version();
    const proxy = await new TcpProxy(node.url()).listen();
    const settings: SoakSettings = {
      url: node.url().replace(String(node.port), String(proxy.port)),
      ledger: book.open('soak'),
      group: GROUP,
      exchange: EXCHANGE,
      prefetch: 64,
      concurrency: 32,
      handlerMs: 1,
      failOneOf: FAIL_ONE_OF,
      perSecond: PER_SECOND,
      seconds: plan.seconds,
      sampleMs: plan.sampleMs,
      timeoutMs: TIMEOUT_MS,
      samples: join(book.folder, 'samples.jsonl'),
    };
    const program = Program.start('soak', settings, ['--expose-gc']);
    const reader = new LedgerReader(settings.samples);
    try {
      await program.ready;
      const finished = program.next('finished', plan.seconds * 1_000 + 120_000);
      finished.catch(() => undefined);
      program.send({ kind: 'go' });
      const samples: Sample[] = [];
      const read = (): void =>
        reader.read((line) => {
          const sample = JSON.parse(line) as Sample;
          samples.push(sample);
          const { minute = 0, heapMiB = 0, rssMiB = 0, loopP99Ms = 0, confirmed, handlings } = sample;
          log(
            `minute ${minute.toFixed(1)}: heap ${heapMiB.toFixed(2)} MiB, RSS ${rssMiB.toFixed(0)} MiB, loop p99 ${loopP99Ms.toFixed(1)} ms, ${confirmed} confirmed, ${handlings} handled`,
          );
        });
      const began = Date.now();
      let resets = 0;
      read();
      for (let next = 1; next * plan.resetMs < plan.seconds * 1_000; next++) {
        await Promise.race([pause(Math.max(0, began + next * plan.resetMs - Date.now())), finished]);
        if (!program.isRunning) throw new Error(program.describe('ended by itself'));
        // in the middle of a frame, if one comes in time
        const cut = next % 2 === 0 ? await proxy.resetMidFrame(CUT_WAIT_MS) : 0;
        if (cut + proxy.reset() > 0) resets++;
        read();
      }
      const end = (await finished) as unknown as SoakEnd;
      read();
      await program.terminate(15_000);
      const { left, dead } = await drainQueues(node.url(), GROUP, [RETRY_MS]);
      const lost = end.missing.filter((id) => !left.has(id) && !dead.has(id));
      const steady = samples.filter(({ minute = 0 }) => minute >= WARM_UP_MINUTES);
      const slopeOf = (field: string): number =>
        round(theilSen(steady.map((sample) => [sample.minute ?? 0, sample[field] ?? Number.NaN])), 4);
      const heapSlope = slopeOf('heapMiB');
      book.read();
      return {
        broker,
        figures: {
          minutes: plan.seconds / 60,
          'events per second': PER_SECOND,
          sent: end.sent,
          confirmed: end.confirmed,
          rejections: JSON.stringify(end.rejections),
          handled: end.handled,
          duplicates: end.duplicates,
          'left in a queue': left.size,
          'resets (times)': resets,
          'resets (connections)': proxy.resets,
          'samples after warm-up': steady.length,
          'heap slope after warm-up (MiB/min)': heapSlope,
          'RSS slope after warm-up (MiB/min)': slopeOf('rssMiB'),
          'heap at first and last (MiB)': `${round(samples[0]?.heapMiB)} → ${round(samples.at(-1)?.heapMiB)}`,
          'RSS at first and last (MiB)': `${round(samples[0]?.rssMiB)} → ${round(samples.at(-1)?.rssMiB)}`,
          'event loop delay p99, median of samples (ms)': round(median(samples.map(({ loopP99Ms = 0 }) => loopP99Ms))),
          'event loop delay p99, worst sample (ms)': round(Math.max(...samples.map(({ loopP99Ms = 0 }) => loopP99Ms))),
        },
        bars: {
          ...(short ? {} : { 'heap slope (MiB/min)': atMost(heapSlope, SLOPE_LIMIT) }),
          resets: atLeast(resets, plan.resets),
          confirmed: atLeast(end.confirmed, Math.floor(end.sent * 0.99)),
          lost: atMost(lost.length, 0),
          'confirmed, never handled': atMost(end.missing.length, 0),
          'dead-lettered': atMost(dead.size, 0),
          'handlers failed on purpose': atLeast(end.thrown, Math.floor((0.9 * end.confirmed) / FAIL_ONE_OF)),
          'publishes pending at the end': atMost(end.pending, 0),
          'publishes settled later than timeout + 1 s': atMost(end.late, 0),
          'unhandled rejections': atMost(book.unhandledRejections.length, 0),
          'warnings of Node': atMost(book.warnings.length, 0),
        },
        series: samples,
      };
    } finally {
      if (program.isRunning) await program.kill();
      reader.close();
      await proxy.close();
    }
  });
}

function round(value = Number.NaN, digits = 2): number {
  return Number(value.toFixed(digits));
}

export const soak: Proof = {
  name: 'soak',
  promise: 'An hour of steady traffic with failures and lost connections leaves nothing behind: no message, no memory.',
  limits: `One process that publishes and handles; heap after a forced collection, and the first ${WARM_UP_MINUTES} minutes are not judged. An hour says nothing of what grows by the week.`,
  run,
};
