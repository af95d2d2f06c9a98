import { readdirSync } from 'node:fs';
import fc from 'fast-check';

// no place is needed of a thousand tests that are registered again for each mutant
const { stackTraceLimit } = Error;
Error.stackTraceLimit = 0;

// a mutant is caught by any counterexample; the least one is for people
fc.configureGlobal({ numRuns: 25, endOnFailure: true });

/**
 * All specs that judge mutants, as one: for each mutant Jest loads every file that matches, and thirty module graphs take
 * ten times as long as one.
 */
for (const folder of ['core', 'bus']) {
  const specs = new URL(`../unit/${folder}/`, import.meta.url);
  for (const file of readdirSync(specs).filter((name) => name.endsWith('.spec.ts'))) {
    await import(new URL(file, specs).pathname);
  }
}

Error.stackTraceLimit = stackTraceLimit;
