import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { CONTRACT_CASES, type ContractHarness, type ContractLevel, planContract } from '../../lib/testing/index.js';

/** Runs every case of the contract in jest. @param skipped how many cases this transport cannot pass */
export function describeContract(transport: string, harness: ContractHarness, skipped: number): void {
  for (const level of ['transport', 'bus', 'outcome'] as const) describeLevel(transport, harness, level);
  describeWhole(transport, harness, skipped);
}

/** Runs a part of it: those that take long run side by side, each in a file of its own. */
export function describeLevel(transport: string, harness: ContractHarness, level: ContractLevel): void {
  const plan = planContract(harness);

  describe(`contract on ${transport}: ${level}`, () => {
    const cases = plan.filter(({ contractCase }) => contractCase.level === level);
    const run = cases.flatMap((each) => (each.skipped === undefined ? [each.contractCase] : []));
    const left = cases.flatMap(({ contractCase, skipped: reason }) => (reason ? [[contractCase.name, reason]] : []));

    it.each(run)(
      '$name',
      async (contractCase) => {
        expect(await contractCase.run(harness)).toBeUndefined();
      },
      35_000,
    );

    // oxlint-disable-next-line jest/no-disabled-tests -- each with its reason; their number is asserted below
    if (left.length > 0) it.skip.each(left)('%s (%s)', () => expect(true).toBe(true));
  });
}

export function describeWhole(transport: string, harness: ContractHarness, skipped: number): void {
  describe(`contract on ${transport}: as a whole`, () => {
    it('has a name of its own for every case', () => {
      expect(new Set(CONTRACT_CASES.map(({ name }) => name)).size).toBe(CONTRACT_CASES.length);
      expect(CONTRACT_CASES.length).toBeGreaterThanOrEqual(150);
    });

    it(`skips ${skipped} cases, each with its reason`, () => {
      const reasons = planContract(harness).flatMap((each) => each.skipped ?? []);
      expect(reasons).toHaveLength(skipped);
      expect(reasons.every((reason) => reason.length > 10)).toBe(true);
    });

    it('leaves no rejection unhandled', async () => {
      // jest fails the test during which a rejection goes unhandled; this one waits for those that come late
      await expect(pause(100, 'quiet')).resolves.toBe('quiet');
    });
  });
}
