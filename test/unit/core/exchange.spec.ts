import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareSpecificity } from '../../../lib/core/exchange.js';

describe('compareSpecificity', () => {
  it.each<[readonly number[], readonly number[], number]>([
    [[], [], 0],
    [[1], [1], 0],
    [[2], [1], 1],
    [[1], [2], -1],
    [[1, 9], [2, 0], -1],
    [[1, 2], [1, 1], 1],
    [[1, -1], [1, 0], -1],
    [[1, 0, -1], [1, 0, -2], 1],
    [[0], [], 0],
    [[], [0, 0], 0],
    [[1], [1, 1], -1],
    [[1, 1], [1], 1],
    [[1], [1, -1], 1],
    [[1, -1], [1], -1],
  ])('%j to %j: %d', (a, b, expected) => {
    expect(Math.sign(compareSpecificity(a, b))).toBe(expected);
  });

  it('is an order that Array.sort can use', () => {
    const rank = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(rank, { maxLength: 8 }), (ranks) => {
        const sorted = ranks.toSorted(compareSpecificity);
        const byText = ranks.map((each) => each.map((n) => String.fromCharCode(100 + n)).join('')).toSorted();
        expect(sorted.map((each) => each.map((n) => String.fromCharCode(100 + n)).join(''))).toEqual(byText);
      }),
    );
  });
});
