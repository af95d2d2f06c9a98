import type { Failure } from './delivery.js';
import { isError } from './is-error.js';
import { LIMITS } from './limits.js';
import { truncateBytes } from './text.js';

/** What is kept of an error beside a dead letter: bounded, and plain text. Never throws, whatever was thrown. */
export function toFailure(error: unknown): Failure {
  if (!isError(error))
    return { name: 'NonError', message: `Something that is not an Error was thrown (${typeof error}).` };
  const stack = read(error, 'stack');
  return {
    name: truncateBytes(read(error, 'name') || 'Error', 255),
    message: truncateBytes(read(error, 'message') ?? '', LIMITS.errorMessageBytes),
    ...(stack !== undefined && { stack: truncateBytes(stack, LIMITS.errorStackBytes) }),
  };
}

/** An error in a line of the log. */
export function describeError(error: unknown): string {
  const { name, message } = toFailure(error);
  return `${name}: ${message}`;
}

/** Errors are user objects: their fields can be anything, getters that throw included. */
function read(error: Error, key: 'name' | 'message' | 'stack'): string | undefined {
  try {
    const value: unknown = error[key];
    if (typeof value === 'string') return value;
    return key === 'stack' ? undefined : String(value);
  } catch {
    return undefined;
  }
}
