import type { ContractCase } from './contract.js';
import { FILTER_CASES } from './outcome.filter.cases.js';
import { GUARD_CASES } from './outcome.guard.cases.js';
import { INPUT_CASES } from './outcome.input.cases.js';
import { RESULT_CASES } from './outcome.result.cases.js';
import { SCOPE_CASES } from './outcome.scope.cases.js';
import { UNMATCHED_CASES } from './outcome.unmatched.cases.js';

/** What guards, pipes, interceptors, filters and handlers decide about an event. */
export const OUTCOME_CASES: readonly ContractCase[] = [
  ...RESULT_CASES,
  ...GUARD_CASES,
  ...INPUT_CASES,
  ...FILTER_CASES,
  ...UNMATCHED_CASES,
  ...SCOPE_CASES,
];
