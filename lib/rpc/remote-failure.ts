import type { FinalReason } from '../bus/handler.js';
import { EventBusError, RemoteError, type RemoteFailure, ValidationError } from '../core/errors.js';
import { toFailure } from '../core/failure.js';
import { isError } from '../core/is-error.js';
import { LIMITS } from '../core/limits.js';
import { truncateBytes } from '../core/text.js';

export interface TellOptions {
  /** Whether the other side is told where it was thrown. */
  readonly withStack: boolean;
  /** What an error of the surroundings means: of a guard, of a pipe. */
  readonly classify?: ((error: unknown) => FinalReason | undefined) | undefined;
}

const CODES: Readonly<Record<FinalReason, string>> = { forbidden: 'FORBIDDEN', validation: 'VALIDATION' };

/**
 * What whoever has asked is told of an error: name, code, message, details, and a stack only where that was asked for. Never throws,
 * whatever was thrown.
 */
export function toRemoteFailure(error: unknown, { withStack, classify }: TellOptions): RemoteFailure {
  if (!isError(error)) return ofNoError(error);
  const { name, message, stack } = toFailure(error);
  const code = read(error, 'code');
  const reason = attempt(() => classify?.(error));
  const known = typeof code === 'string' || typeof code === 'number' ? String(code) : reason && CODES[reason];
  const details = read(error, 'details') ?? attempt(() => detailsOf(error));
  return {
    name,
    message,
    ...(known !== undefined && { code: truncateBytes(known, LIMITS.errorMessageBytes) }),
    ...(details !== undefined && { details }),
    retryable: read(error, 'retryable') === true,
    ...(withStack && stack !== undefined && { stack }),
  };
}

/** The error that a request rejects with, out of what came over the wire. */
export function toRemoteError(topic: string, value: unknown): RemoteError {
  const { name, message, code, details, retryable, stack } = (
    typeof value === 'object' && value !== null ? value : { message: value, details: value }
  ) as Readonly<Record<keyof RemoteFailure, unknown>>;
  return new RemoteError(topic, {
    name: typeof name === 'string' && name !== '' ? name : 'RemoteError',
    message: typeof message === 'string' ? message : 'The handler failed.',
    ...(typeof code === 'string' && { code }),
    ...(details !== undefined && { details }),
    ...(retryable === true && { retryable }),
    ...(typeof stack === 'string' && { stack }),
  });
}

function detailsOf(error: Error): unknown {
  if (error instanceof ValidationError) return error.issues.length > 0 ? error.issues : undefined;
  if (error instanceof EventBusError) return undefined;
  // Nest's HttpException and RpcException keep what they were made of
  const { getResponse, getError } = error as { getResponse?: unknown; getError?: unknown };
  const given: unknown =
    typeof getResponse === 'function'
      ? getResponse.call(error)
      : typeof getError === 'function'
        ? getError.call(error)
        : undefined;
  return typeof given === 'object' && given !== null ? given : undefined;
}

/** Errors are user objects: their fields can be anything, getters that throw included. */
function read(error: Error, key: 'code' | 'details' | 'retryable'): unknown {
  return attempt(() => (error as { readonly [K in typeof key]?: unknown })[key]);
}

/** What cannot be asked is not told. */
function attempt<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** Whatever else can be thrown. */
function ofNoError(thrown: unknown): RemoteFailure {
  if (typeof thrown === 'string') return { name: 'Error', message: truncateBytes(thrown, LIMITS.errorMessageBytes) };
  const details = typeof thrown === 'object' && thrown !== null ? { details: thrown } : {};
  return { name: 'Error', message: `The handler failed with a ${typeof thrown} that is no Error.`, ...details };
}
