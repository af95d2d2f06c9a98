import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BusExchanges } from '../../../lib/bus/bus-exchanges.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { UnroutableStore } from '../../../lib/bus/unroutable.store.js';
import type { Unrouted } from '../../../lib/bus/unroutable-message.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { aMessage } from '../support/message.js';

const { main } = new BusExchanges(resolveOptions(), new TopicExchange());

function unrouted(id: string, bytes: number, headers: Readonly<Record<string, string>> = {}): Unrouted {
  const message = aMessage({ id, topic: '', body: new Uint8Array(bytes), headers });
  return { exchange: main, broadcast: false, message, returned: undefined, at: 0 };
}

const idsOf = (all: readonly Unrouted[]): readonly string[] => all.map(({ message }) => message.id);

describe('UnroutableStore', () => {
  it('gives what it keeps once, the oldest first', () => {
    const store = new UnroutableStore({ messages: 3, bytes: 100 });
    for (const id of ['a', 'b', 'c']) expect(store.add(unrouted(id, 10))).toBe(0);
    expect([store.size, store.bytes]).toEqual([3, 30]);
    expect(idsOf(store.take())).toEqual(['a', 'b', 'c']);
    expect([store.size, store.bytes, store.take()]).toEqual([0, 0, []]);
  });

  it('drops the oldest for a new one, by number and by bytes', () => {
    const store = new UnroutableStore({ messages: 3, bytes: 100 });
    for (const id of ['a', 'b', 'c']) store.add(unrouted(id, 30));
    expect(store.add(unrouted('d', 30))).toBe(1);
    expect(store.add(unrouted('e', 70))).toBe(2);
    expect([idsOf(store.take())]).toEqual([['d', 'e']]);
  });

  it('does not take what is larger than all its room, and keeps the rest', () => {
    const store = new UnroutableStore({ messages: 3, bytes: 100 });
    store.add(unrouted('a', 50));
    expect(store.add(unrouted('b', 101))).toBe(1);
    expect(idsOf(store.take())).toEqual(['a']);
  });

  it('counts headers', () => {
    const store = new UnroutableStore({ messages: 3, bytes: 100 });
    store.add(unrouted('a', 10, { region: 'x'.repeat(20) }));
    expect(store.bytes).toBe(36);
  });

  it('does not keep the large buffer that a small body is a piece of', () => {
    const store = new UnroutableStore({ messages: 1, bytes: 100 });
    const body = new Uint8Array(new ArrayBuffer(1_000_000), 500, 3).fill(7);
    store.add({ ...unrouted('a', 0), message: aMessage({ body }) });
    const [kept] = store.take();
    expect(kept?.message.body).toEqual(new Uint8Array([7, 7, 7]));
    expect(kept?.message.body.buffer.byteLength).toBe(3);
  });

  it('never holds more than its limits, and what it holds is the end of what came', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(60)),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 100 }),
        (sizes, n, b) => {
          const store = new UnroutableStore({ messages: n, bytes: b });
          let dropped = 0;
          for (const [index, size] of sizes.entries()) {
            dropped += store.add(unrouted(String(index), size));
            if (store.size > n || store.bytes > b) return false;
          }
          const fitting = sizes.flatMap((size, index) => (size <= b ? [String(index)] : []));
          const kept = idsOf(store.take());
          expect(kept).toEqual(kept.length === 0 ? [] : fitting.slice(-kept.length));
          return kept.length + dropped === sizes.length;
        },
      ),
    );
  });
});
