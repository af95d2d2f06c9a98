import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const COLLECTIONS = 5;

/** Bytes that this process really holds, bodies of messages included. */
export async function collectedHeap(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  // buffers are given back some time after a collection, by another thread
  for (let i = 0; i < COLLECTIONS; i++) {
    collect();
    await turn();
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}
