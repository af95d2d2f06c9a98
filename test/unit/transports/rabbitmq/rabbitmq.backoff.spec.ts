import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { backoffMs } from '../../../../lib/transports/rabbitmq/rabbitmq.backoff.js';

const MINUTE_MS = 60_000;
const LONGEST_DOWN_MS = 2 ** 45;

const rounds = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const downs = fc.oneof(fc.integer({ min: 0, max: 2 * MINUTE_MS }), fc.integer({ min: 0, max: LONGEST_DOWN_MS }));
const chances = fc.double({ min: 0, max: 1, noNaN: true });

/** The least and the most that a round can wait. */
const range = (round: number, downForMs: number): readonly [number, number] => [
  backoffMs(round, downForMs, 0),
  backoffMs(round, downForMs, 1),
];

describe('backoffMs', () => {
  it.each<readonly [round: number, least: number, most: number]>([
    [1, 50, 100],
    [2, 100, 200],
    [3, 200, 400],
    [4, 400, 800],
    [5, 500, 1_000],
    [6, 500, 1_000],
    [1_000, 500, 1_000],
  ])('in the first minute round %i waits %i to %i ms', (round, least, most) => {
    expect(range(round, 0)).toEqual([least, most]);
    expect(range(round, MINUTE_MS - 1)).toEqual([least, most]);
  });

  it.each<readonly [round: number, least: number, most: number]>([
    [1, 50, 100],
    [5, 800, 1_600],
    [8, 6_400, 12_800],
    [9, 12_800, 25_600],
    [10, 15_000, 30_000],
    [11, 15_000, 30_000],
    [1_000, 15_000, 30_000],
  ])('after a minute round %i waits %i to %i ms', (round, least, most) => {
    expect(range(round, MINUTE_MS)).toEqual([least, most]);
    expect(range(round, LONGEST_DOWN_MS)).toEqual([least, most]);
  });

  it('whatever the round, half of the wait is certain and the rest is left to chance', () => {
    fc.assert(
      fc.property(rounds, downs, chances, (round, downForMs, chance) => {
        const [least, most] = range(round, downForMs);
        expect(least).toBe(most / 2);
        expect(least).toBeGreaterThanOrEqual(50);
        expect(most).toBeLessThanOrEqual(downForMs < MINUTE_MS ? 1_000 : 30_000);
        expect(backoffMs(round, downForMs, chance)).toBeCloseTo(least + chance * (most - least), 6);
      }),
    );
  });

  it('each round waits twice as long as the one before, up to the cap', () => {
    fc.assert(
      fc.property(rounds, downs, chances, (round, downForMs, chance) => {
        const cap = backoffMs(Number.MAX_SAFE_INTEGER, downForMs, chance);
        const doubled = 2 * backoffMs(round, downForMs, chance);
        expect(backoffMs(round + 1, downForMs, chance)).toBeCloseTo(Math.min(cap, doubled), 6);
      }),
    );
  });

  it.each([
    100,
    1_025, // here 2 ** (round - 1) becomes Infinity
    2 ** 31,
    2 ** 32 + 1,
    Number.MAX_SAFE_INTEGER,
    Number.MAX_VALUE,
    Number.POSITIVE_INFINITY,
  ])('round %d does not overflow', (round) => {
    expect(range(round, 0)).toEqual([500, 1_000]);
    expect(range(round, MINUTE_MS)).toEqual([15_000, 30_000]);
  });

  it('chance differs from call to call, and over the whole of its half', () => {
    const waits = Array.from({ length: 2_000 }, () => backoffMs(5, 0));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...waits)).toBeLessThan(1_000);
    // that all draws miss an outer tenth happens in one run of 10^91
    expect(Math.min(...waits)).toBeLessThan(550);
    expect(Math.max(...waits)).toBeGreaterThan(950);
  });
});
