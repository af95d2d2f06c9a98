import { JsonSerializer, MsgpackSerializer, type Serializer } from '../../lib/index.js';
import { type Comparison, type Contender, compare, Stopwatch } from './measure.js';

const HEAD = { id: 'bench', type: '', topic: 'orders.placed', contentType: '', headers: {}, timestamp: 0 };

/** An event of 1 KiB as JSON, as shops have them. */
function order(id: number): object {
  return {
    id,
    customer: 'c0ffee00-1234-4abc-9def-0123456789ab',
    placedAt: '2026-11-21T23:00:00.000Z',
    currency: 'EUR',
    express: id % 2 === 0,
    total: 1_234.56,
    address: { street: 'Hauptstraße 1', city: 'Stuttgart', zip: '70173', country: 'DE' },
    lines: Array.from({ length: 10 }, (_, i) => ({
      sku: `keyboard-iso-de-${i}`,
      quantity: i + 1,
      price: 79.9 + i,
      note: 'leave it at the door',
    })),
  };
}

type Work = 'encode' | 'decode' | 'both';

function contender(name: string, serializer: Serializer, work: Work): Contender {
  const events = Array.from({ length: 256 }, (_, i) => order(i));
  const head = { ...HEAD, contentType: serializer.contentType };
  const encode = (i: number): Uint8Array => {
    const encoded = serializer.encode(events[i & 255], head);
    return encoded instanceof Uint8Array ? encoded : encoded.body;
  };
  const bodies = events.map((_, i) => encode(i));
  const steps: Readonly<Record<Work, (i: number) => unknown>> = {
    encode,
    decode: (i) => serializer.decode(bodies[i & 255] ?? encode(i), head),
    both: (i) => serializer.decode(encode(i), head),
  };
  const step = steps[work];
  return {
    name: `${name}, ${bodies[0]?.byteLength} bytes`,
    round: async (n) => {
      let some: unknown;
      const watch = new Stopwatch();
      for (let i = 0; i < n; i++) some = step(i);
      const sample = watch.stop(n);
      if (some === undefined) throw new Error('Nothing was made.');
      return sample;
    },
  };
}

/** msgpack beside json, on the same events. */
export async function benchmarkSerializers(quick: boolean): Promise<readonly Comparison[]> {
  const [json, msgpack] = [new JsonSerializer(), await MsgpackSerializer.load()];
  const size = { rounds: quick ? 5 : 15, messages: quick ? 10_000 : 50_000 };
  const results: Comparison[] = [];
  for (const [work, what] of [
    ['both', 'encode and decode'],
    ['encode', 'encode alone'],
    ['decode', 'decode alone'],
  ] as const) {
    const ours = contender('MsgpackSerializer', msgpack, work);
    const raw = contender('JsonSerializer', json, work);
    results.push(await compare(`1 KiB event, ${what}`, ours, raw, size));
  }
  return results;
}
