import type { Transport } from '../../core/transport.js';
import { BUS_CASES } from './bus.cases.js';
import { OUTCOME_CASES } from './outcome.cases.js';
import { TRANSPORT_CASES } from './transport.cases.js';

export type ContractLevel = 'transport' | 'bus' | 'outcome';

/** What a case needs beyond one transport. `shared`: two transports on one broker, as two processes have. */
export type ContractNeed = 'shared';

/** One promise that every transport keeps, as something to run. */
export interface ContractCase {
  /** The promise, in a sentence. */
  readonly name: string;
  readonly level: ContractLevel;
  readonly needs?: ContractNeed;
  /** Resolves when the promise was kept; ends within half a minute and leaves nothing open. */
  run(harness: ContractHarness): Promise<void>;
}

/** Cases that a transport cannot pass, and why. */
export interface ContractSkip {
  readonly reason: string;
  /** Names of cases. */
  readonly cases: readonly string[];
}

/** What a case has declared at a broker, by full names. */
export interface ContractLeftovers {
  /** Groups; each may have dead letters and waiting retries of its own. */
  readonly groups: readonly string[];
  readonly exchanges: readonly string[];
  /** Services that have run on them; each may have a record of its groups. */
  readonly services?: readonly string[];
}

/** What a transport gives to be tested. */
export interface ContractHarness {
  /** A new transport at each call, not connected yet. */
  createTransport(): Promise<Transport>;
  /** Whether they all stand on one broker. `false`: each is a broker of its own, and cases that need two are skipped. */
  readonly shared: boolean;
  readonly skip: readonly ContractSkip[];
  /** Removes what a case has declared; called when all its transports are closed. */
  cleanup?(leftovers: ContractLeftovers): Promise<void>;
}

/** A case with what is to be done with it. */
export interface PlannedCase {
  readonly contractCase: ContractCase;
  /** Why it is not run. */
  readonly skipped?: string;
}

/** Every case of the contract. */
export const CONTRACT_CASES: readonly ContractCase[] = [...TRANSPORT_CASES, ...BUS_CASES, ...OUTCOME_CASES];

/**
 * Which cases run for a harness, and why others do not. Assert the number of those skipped, so that no skip slips in.
 *
 * @throws Error for a skip without reason, or of a case that does not exist
 * @example
 * for (const { contractCase, skipped } of planContract(harness)) {
 *   (skipped ? it.skip : it)(contractCase.name, () => contractCase.run(harness));
 * }
 * @publicApi
 */
export function planContract(harness: ContractHarness): readonly PlannedCase[] {
  const known = new Set(CONTRACT_CASES.map(({ name }) => name));
  const reasons = new Map<string, string>();
  for (const { reason, cases } of harness.skip) {
    if (reason.trim() === '') throw new Error('A skip needs a reason.');
    for (const name of cases) {
      if (!known.has(name)) throw new Error(`There is no case "${name}" to skip.`);
      reasons.set(name, reason);
    }
  }
  return CONTRACT_CASES.map((contractCase) => {
    const skipped = reasons.get(contractCase.name) ?? lack(contractCase, harness);
    return skipped === undefined ? { contractCase } : { contractCase, skipped };
  });
}

function lack({ needs }: ContractCase, { shared }: ContractHarness): string | undefined {
  if (needs === 'shared' && !shared) return 'needs two transports on one broker; here each is a broker of its own';
  return undefined;
}
