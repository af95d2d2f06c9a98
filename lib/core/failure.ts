import type { Failure } from './delivery.js';
import { LIMITS } from './limits.js';
import { truncateBytes } from './text.js';

/** What is kept of an error beside a dead letter: bounded, and plain text. */
export function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'NonError', message: `A ${typeof error} was thrown.` };
  const failure = {
    name: truncateBytes(String(error.name || 'Error'), 255),
    message: truncateBytes(String(error.message), LIMITS.errorMessageBytes),
  };
  return typeof error.stack === 'string'
    ? { ...failure, stack: truncateBytes(error.stack, LIMITS.errorStackBytes) }
    : failure;
}
