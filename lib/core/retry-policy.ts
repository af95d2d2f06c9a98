import { ConfigurationError } from './errors.js';
import { DEFAULTS } from './limits.js';

/** How often and when a failed delivery is tried again. Data, not a function: a broker must know its delays. */
export interface RetryPolicy {
  /** Wait before attempt 2, 3, …, in milliseconds; the number of attempts is one more than their number. */
  readonly delaysMs: readonly number[];
  /** `false` for an error that trying again cannot mend: dead-lettered at once. Default: all can be retried. */
  readonly retryable?: (error: unknown) => boolean;
}

export const DEFAULT_RETRY: RetryPolicy = Object.freeze({ delaysMs: DEFAULTS.retryDelaysMs });
export const NO_RETRY: RetryPolicy = Object.freeze({ delaysMs: Object.freeze([]) });

/**
 * A policy whose delays grow: `initialMs`, `initialMs × factor`, … never above `maxMs`.
 *
 * @param options.attempts how often the handler runs in all, 1 or more
 * @param options.factor default 2
 * @param options.maxMs default 1 hour
 * @throws ConfigurationError for a number out of range
 * @example retry: exponential({ attempts: 4, initialMs: 500 }) // waits 500, 1000, 2000 ms
 * @publicApi
 */
export function exponential(options: {
  readonly attempts: number;
  readonly initialMs: number;
  readonly factor?: number;
  readonly maxMs?: number;
}): RetryPolicy {
  const { attempts, initialMs, factor = 2, maxMs = 3_600_000 } = options;
  assertNumber('attempts', attempts, 1, 100);
  assertNumber('initialMs', initialMs, 1, 86_400_000);
  assertNumber('factor', factor, 1, 100);
  assertNumber('maxMs', maxMs, 1, 86_400_000);
  const delaysMs = Array.from({ length: Math.trunc(attempts) - 1 }, (_, i) =>
    Math.round(Math.min(maxMs, initialMs * factor ** i)),
  );
  return Object.freeze({ delaysMs: Object.freeze(delaysMs) });
}

/**
 * A policy with the same delay each time.
 *
 * @example retry: fixed({ attempts: 3, delayMs: 1_000 })
 * @throws ConfigurationError for a number out of range
 * @publicApi
 */
export function fixed(options: { readonly attempts: number; readonly delayMs: number }): RetryPolicy {
  assertNumber('delayMs', options.delayMs, 1, 86_400_000);
  return exponential({ attempts: options.attempts, initialMs: options.delayMs, factor: 1, maxMs: options.delayMs });
}

function assertNumber(name: string, value: number, min: number, max: number): void {
  if (typeof value === 'number' && value >= min && value <= max) return;
  throw new ConfigurationError(`Retry policy: ${name} must be a number from ${min} to ${max}.`);
}
