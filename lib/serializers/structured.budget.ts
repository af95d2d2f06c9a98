import { LIMITS } from '../core/limits.js';

/**
 * What a structured payload may cost whoever handles it. References make much of few bytes: thirty arrays that each hold the next
 * one twice are a billion values for code that does not know them. And numbers can be chosen so that all of them fall into one
 * place of the engine's hash table, where each is compared with all others.
 */
export class StructuredBudget {
  values = 0;
  private squares = 0;

  /** @returns what it is too much of */
  spend(values: number): string | undefined {
    this.values += values;
    return this.values > LIMITS.structuredValues ? `unfolds to more than ${LIMITS.structuredValues} values` : undefined;
  }

  /** @param keys members of one Set, or keys of one Map */
  spendKeys(keys: Iterable<unknown>): string | undefined {
    let numbers = 0;
    for (const key of keys) if (typeof key === 'number' || typeof key === 'bigint') numbers++;
    this.squares += numbers ** 2;
    return this.squares > LIMITS.structuredNumberKeys ** 2
      ? `has more than ${LIMITS.structuredNumberKeys} numbers as members of a Set or keys of a Map`
      : undefined;
  }
}
