import { ConfigurationError } from '../../../lib/core/errors.js';

/** The error that `run` throws; complains itself when there is none. */
export function caught(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error(`Not an Error was thrown: ${String(error)}`);
  }
  throw new Error('Expected it to throw.');
}

/** The problems of the ConfigurationError that `run` throws. */
export function problemsOf(run: () => unknown): readonly string[] {
  const error = caught(run);
  if (!(error instanceof ConfigurationError)) throw error;
  return error.problems;
}

/** The error that a promise rejects with. */
export async function caughtFrom(promise: Promise<unknown>): Promise<Error> {
  const outcome: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome;
  throw new Error('Expected it to reject with an Error.');
}
