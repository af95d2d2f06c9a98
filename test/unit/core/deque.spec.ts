import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Deque } from '../../../lib/core/deque.js';

type Step =
  | { readonly do: 'push' | 'unshift'; readonly item: number }
  | { readonly do: 'shift' | 'peek' | 'drain' }
  | { readonly do: 'push many'; readonly count: number };

const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('push' as const), item: fc.integer() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('unshift' as const), item: fc.integer() }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('shift' as const, 'peek' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('push many' as const), count: fc.integer({ min: 10, max: 70 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
);

/** What the step gives back, done to an array and to a deque. */
function both(each: Step, model: number[], deque: Deque<number>): [unknown, unknown] {
  switch (each.do) {
    case 'push':
      model.push(each.item);
      return [undefined, deque.push(each.item)];
    case 'unshift':
      model.unshift(each.item);
      return [undefined, deque.unshift(each.item)];
    case 'shift':
      return [model.shift(), deque.shift()];
    case 'peek':
      return [model[0], deque.peek()];
    case 'drain':
      return [model.splice(0), deque.drain()];
    case 'push many':
      for (let i = 0; i < each.count; i++) {
        model.push(i);
        deque.push(i);
      }
      return [undefined, undefined];
    default:
      throw new Error('unreachable');
  }
}

describe('Deque', () => {
  it('is empty at first', () => {
    const deque = new Deque<number>();
    expect([deque.size, deque.peek(), deque.shift(), deque.drain(), deque.size]).toEqual([
      0,
      undefined,
      undefined,
      [],
      0,
    ]);
  });

  it('gives things back in the order in which they came', () => {
    const deque = new Deque<string>();
    deque.push('a');
    deque.push('b');
    deque.unshift('c');
    expect([deque.size, deque.peek(), deque.shift(), deque.shift(), deque.shift(), deque.shift()]).toEqual([
      3,
      'c',
      'c',
      'a',
      'b',
      undefined,
    ]);
  });

  it.each([15, 16, 17, 31, 32, 33, 64, 65, 1_000])('holds %d, added at either end', (count) => {
    const numbers = Array.from({ length: count }, (_, i) => i);
    const behind = new Deque<number>();
    const before = new Deque<number>();
    for (const n of numbers) {
      behind.push(n);
      before.unshift(n);
    }
    expect([behind.size, before.size]).toEqual([count, count]);
    expect(behind.drain()).toEqual(numbers);
    expect(before.drain()).toEqual(numbers.toReversed());
    expect([behind.size, before.size]).toEqual([0, 0]);
  });

  it.each([0, 1, 7, 15, 16])('keeps its order when it grows with its head at %d', (head) => {
    const deque = new Deque<number>();
    for (let i = 0; i < head; i++) {
      deque.push(-1);
      deque.shift();
    }
    for (let i = 0; i < 40; i++) deque.push(i);
    expect(deque.drain()).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  it('holds values that are false: 0, the empty string, null', () => {
    const deque = new Deque<unknown>();
    for (const value of [0, '', null, false]) deque.push(value);
    expect(deque.drain()).toEqual([0, '', null, false]);
  });

  it('does the same as an array', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const model: number[] = [];
        const deque = new Deque<number>();
        for (const each of steps) {
          const [expected, actual] = both(each, model, deque);
          expect(actual).toEqual(expected);
          expect(deque.size).toBe(model.length);
          expect(deque.peek()).toBe(model[0]);
        }
        expect(deque.drain()).toEqual(model);
      }),
      { numRuns: 300 },
    );
  });

  it('does not hold on to what was taken out', () => {
    const deque = new Deque<object>();
    const taken = { big: true };
    deque.push(taken);
    deque.push({});
    deque.shift();
    const held = Object.values(deque).filter(Array.isArray).flat();
    expect(held.length).toBeGreaterThan(0);
    expect(held).not.toContain(taken);
  });

  it('costs the same however long it is', () => {
    const deque = new Deque<number>();
    const begin = performance.now();
    for (let i = 0; i < 200_000; i++) deque.unshift(i);
    for (let i = 0; i < 200_000; i++) deque.push(deque.shift() ?? -1);
    // an array needs 5 s and more; a busy machine must not fail
    expect(performance.now() - begin).toBeLessThan(5_000);
    expect([deque.size, deque.shift()]).toEqual([200_000, 199_999]);
  });
});
