// npm run bench            ratios to the raw client, in one run (about 3 minutes)
// npm run bench -- memory  one part: bounds, routing, rendezvous, serializers, memory, rpc or rabbitmq
// npm run bench -- --quick a smoke run: the ratios mean little, the bounds are checked all the same
import { type BoundsResult, checkBounds } from './bounds.bench.js';
import type { Comparison } from './measure.js';
import { benchmarkMemory } from './memory.bench.js';
import { benchmarkRabbitMq } from './rabbitmq.bench.js';
import { benchmarkRendezvous } from './rendezvous.bench.js';
import { benchmarkRouting } from './routing.bench.js';
import { benchmarkRpc } from './rpc.bench.js';
import { benchmarkSerializers } from './serializers.bench.js';

const quick = process.argv.includes('--quick');
const chosen = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const runs = (name: string): boolean => chosen.length === 0 || chosen.includes(name);
const url = process.env.EVENT_BUS_TEST_URL ?? 'amqp://guest:guest@127.0.0.1:5672';

console.log(`Node ${process.version}, ${quick ? 'quick run: the ratios mean little' : 'full run'}\n`);
const bounds: BoundsResult[] = [];
const messages = quick ? 50_000 : 200_000;
if (runs('bounds')) {
  // sequences first: a burst leaves a large heap behind, beside which no growth could be seen
  for (const kind of ['sequence', 'burst'] as const) {
    for (const transport of ['memory:', url]) bounds.push(...(await checkBounds(kind, transport, messages)));
  }
  console.log('');
}
if (runs('routing')) bounds.push(...(await benchmarkRouting(quick)));
if (runs('rendezvous')) bounds.push(...(await benchmarkRendezvous(url, quick)));
const comparisons: Comparison[] = [];
if (runs('serializers')) comparisons.push(...(await benchmarkSerializers(quick)));
if (runs('memory')) comparisons.push(...(await benchmarkMemory(quick)));
if (runs('rpc')) {
  const { comparisons: compared, bounds: checked } = await benchmarkRpc(url, quick);
  comparisons.push(...compared);
  bounds.push(...checked);
}
if (runs('rabbitmq')) comparisons.push(...(await benchmarkRabbitMq(url, quick)));
for (const { title, rateRatio, cpuRatio } of comparisons) {
  console.log(`${title.padEnd(40)} rate × ${rateRatio.toFixed(2)}  CPU × ${cpuRatio.toFixed(2)}`);
}
if (bounds.some(({ isKept }) => !isKept)) process.exitCode = 1;
