import { ConfigurationError } from '../core/errors.js';
import type { BindingHeaders, BindingRule } from '../core/exchange.js';
import { isHeaderValue, isReservedHeader } from '../core/headers.js';
import type { Headers } from '../core/message.js';
import { isWellFormed } from '../core/text.js';

/** A header that a rule asks for: `null` for any value. */
export type AskedHeader = readonly [name: string, value: BindingHeaders[string]];

/** @throws ConfigurationError for headers asked of an exchange that does not look at them */
export function assertNoHeaders(type: string, { headers, match }: BindingRule): void {
  if (headers === undefined && match === undefined) return;
  throw new ConfigurationError(
    `headers and match are for exchanges of type "headers"; this one is of type "${type}" and does not look at them.`,
  );
}

/** @throws ConfigurationError for headers that no message can have */
export function assertAskedHeaders(headers: unknown): void {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers) || headers instanceof Map) {
    throw new ConfigurationError('headers must be an object with a value for each name.');
  }
  for (const [name, value] of Object.entries(headers)) {
    if (isReservedHeader(name)) throw new ConfigurationError(`Header "${name}" is reserved and cannot be bound to.`);
    if (!isWellFormed(name) || (typeof value === 'string' && !isWellFormed(value))) {
      throw new ConfigurationError(`A header that is asked for has half of a surrogate pair, which never arrives so.`);
    }
    if (value !== null && !isHeaderValue(value)) {
      throw new ConfigurationError(
        `Header "${name}" must be a string, a boolean or a finite number, or null for any value.`,
      );
    }
  }
}

/** What the rule asks for, in the order in which it is written. */
export function askedOf({ headers = {} }: BindingRule): readonly AskedHeader[] {
  return Object.entries(headers);
}

export function isGiven([name, value]: AskedHeader, headers: Headers): boolean {
  return Object.hasOwn(headers, name) && (value === null || headers[name] === value);
}

/** Whether one message can have both. */
export function canMeet([name, value]: AskedHeader, [otherName, other]: AskedHeader): boolean {
  return name !== otherName || value === null || other === null || value === other;
}
