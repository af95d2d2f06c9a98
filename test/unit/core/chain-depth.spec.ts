import { expect, it } from '@jest/globals';
import { readDepth } from '../../../lib/core/chain-depth.js';
import { LIMITS } from '../../../lib/core/limits.js';

it.each([
  [1, 1],
  [99, 99],
  [LIMITS.chainDepth + 1, LIMITS.chainDepth],
  [Number.MAX_SAFE_INTEGER, LIMITS.chainDepth],
])('a depth of %p is %p', (raw, expected) => {
  expect(readDepth(raw)).toBe(expected);
});

it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300, '7', true, null, undefined, [7], { value: 7 }, 7n])(
  '%p is no depth',
  (raw) => {
    expect(readDepth(raw)).toBeUndefined();
  },
);
