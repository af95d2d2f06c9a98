import { setTimeout as pause } from 'node:timers/promises';
import { TcpProxy } from '../support/tcp-proxy.js';
import { atLeast, atMost, type Figures, type Proof, type ProofOptions } from './proof.js';
import { RETRY_MS, Stage } from './stage.js';

const PUBLISHERS = 400;
const WORKERS = 2;
const PREFETCH = 250;
const TIMEOUT_MS = 30_000;
const FAIL_ONE_OF = 100;
const CUT_WAIT_MS = 60;

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const target = short
    ? { resets: 30, confirmed: 5_000, between: 300 }
    : { resets: 1_000, confirmed: 500_000, between: 2_200 };
  return Stage.set(async (stage) => {
    const { node, book } = stage;
    const broker = await node.version();
    const proxy = await new TcpProxy(node.url()).listen();
    try {
      const url = node.url().replace(String(node.port), String(proxy.port));
      const workers = stage.workers({
        url,
        prefetch: PREFETCH,
        concurrency: PREFETCH,
        handlerMs: 0,
        failOneOf: FAIL_ONE_OF,
      });
      await workers.start(WORKERS);
      const publishers = stage.publishers({
        url,
        publishers: PUBLISHERS,
        window: 1_000,
        timeoutMs: TIMEOUT_MS,
        bytes: 200,
      });
      await publishers.start(1);
      let times = 0;
      let midFrame = 0;
      while (proxy.resets < target.resets || book.read().confirmed.size < target.confirmed) {
        const goal = book.read().confirmed.size + target.between;
        await stage.until(`${goal} are confirmed`, ({ confirmed }) => confirmed.size >= goal);
        // not always at the same point of the traffic
        await pause(Math.random() * 50);
        // every second time in the middle of a frame, on the connections on which something goes at the moment
        const isMidFrame = times % 2 === 1;
        const count = isMidFrame ? await proxy.resetMidFrame(CUT_WAIT_MS) : proxy.reset();
        if (count === 0) continue;
        times++;
        if (isMidFrame) midFrame += count;
        if (times % 20 === 0)
          log(`${proxy.resets} of ${target.resets} resets, ${book.read().confirmed.size} confirmed`);
      }
      const ends = await stage.finish(publishers.active, TIMEOUT_MS);
      const outcome = await stage.judge(times, ends, [RETRY_MS]);
      const bound = times * (PUBLISHERS + WORKERS * PREFETCH);
      return {
        broker,
        figures: {
          'resets (times)': times,
          'resets (connections)': proxy.resets,
          'of these in the middle of a frame': midFrame,
          ...outcome.figures,
        },
        bars: {
          'resets counted by the proxy': atLeast(proxy.resets, target.resets),
          'of these in the middle of a frame': atLeast(midFrame, Math.floor(target.resets / 4)),
          confirmed: atLeast(outcome.confirmed, target.confirmed),
          ...outcome.bars,
          'handlers failed on purpose': atLeast(book.thrown, Math.floor((0.9 * outcome.confirmed) / FAIL_ONE_OF)),
          'duplicates (times × (publishers + prefetch))': atMost(outcome.duplicates, bound),
        },
      };
    } finally {
      await proxy.close();
    }
  });
}

export const resets: Proof = {
  name: 'resets',
  promise: 'Connections may be reset at any moment, in the middle of a frame too: nothing confirmed is lost.',
  limits: 'Resets come from a proxy on the same host, between publisher, two workers and one broker that stays up.',
  run,
};
