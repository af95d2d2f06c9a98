import { AppBench } from './app.bench.js';
import { Bench } from './bench.js';
import type { ContractCase, ContractHarness, ContractLevel, ContractNeed } from './contract.js';
import { bounded } from './until.js';

/** Every case ends by then, well or not. */
const CASE_MS = 20_000;
const DISPOSE_MS = 10_000;

/** A case on the seam of the transport. */
export function transportCase(name: string, body: (bench: Bench) => Promise<void>, needs?: ContractNeed): ContractCase {
  return contractCase('transport', name, (harness) => new Bench(harness), body, needs);
}

/** A case on a Nest application with the bus. */
export function busCase(name: string, body: (bench: AppBench) => Promise<void>, needs?: ContractNeed): ContractCase {
  return contractCase('bus', name, (harness) => new AppBench(harness), body, needs);
}

/** A case of what the outcome of a handler means for its event. */
export function outcomeCase(
  name: string,
  body: (bench: AppBench) => Promise<void>,
  needs?: ContractNeed,
): ContractCase {
  return contractCase('outcome', name, (harness) => new AppBench(harness), body, needs);
}

function contractCase<B extends Bench>(
  level: ContractLevel,
  name: string,
  createBench: (harness: ContractHarness) => B,
  body: (bench: B) => Promise<void>,
  needs: ContractNeed | undefined,
): ContractCase {
  return {
    level,
    name,
    ...(needs && { needs }),
    async run(harness) {
      const bench = createBench(harness);
      try {
        await bounded(body(bench), CASE_MS, `The case "${name}"`);
      } catch (error) {
        // its own error says more than what may follow from it
        await bounded(bench.dispose(), DISPOSE_MS, 'Closing').catch(() => undefined);
        throw error;
      }
      await bounded(bench.dispose(), DISPOSE_MS, `Closing after "${name}"`);
    },
  };
}
