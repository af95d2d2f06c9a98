import { ConfigurationError, MessageTooLargeError } from './errors.js';
import { LIMITS } from './limits.js';
import type { Headers, HeaderValue } from './message.js';

/** Prefix of the headers in which the bus itself keeps things. */
export const INTERNAL_PREFIX = 'eb-';

export const NO_HEADERS: Headers = Object.freeze(Object.create(null) as Record<string, HeaderValue>);

/** Names to which brokers or this library give a meaning: a user may neither send nor read them as headers. */
export function isReservedHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return (
    lower.startsWith(INTERNAL_PREFIX) ||
    lower.startsWith('x-') ||
    lower === 'cc' ||
    lower === 'bcc' ||
    lower === '__proto__' ||
    lower === 'constructor' ||
    lower === 'prototype'
  );
}

export function isHeaderValue(value: unknown): value is HeaderValue {
  return (
    typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))
  );
}

/**
 * A frozen copy without prototype of what a user wants to send.
 *
 * @throws ConfigurationError naming the header that is reserved or of another type
 * @throws MessageTooLargeError when they are too many or too large
 */
export function toHeaders(raw: Readonly<Record<string, unknown>> | undefined): Headers {
  if (raw === undefined) return NO_HEADERS;
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw) || raw instanceof Map) {
    throw new ConfigurationError('headers must be an object with a value for each name.');
  }
  const headers = Object.create(null) as Record<string, HeaderValue>;
  let bytes = 0;
  let count = 0;
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    if (value === undefined) continue;
    const nameBytes = Buffer.byteLength(name);
    if (nameBytes > 128 || nameBytes === 0) throw new ConfigurationError('Header names have 1 to 128 bytes.');
    if (isReservedHeader(name)) {
      throw new ConfigurationError(`Header "${name}" is reserved. Choose a name without the prefixes "eb-" and "x-".`);
    }
    if (!isHeaderValue(value)) {
      throw new ConfigurationError(`Header "${name}" must be a string, a boolean or a finite number.`);
    }
    count++;
    bytes += nameBytes + (typeof value === 'string' ? Buffer.byteLength(value) : 8);
    headers[name] = value;
  }
  if (count > LIMITS.headerCount)
    throw new ConfigurationError(`A message has at most ${LIMITS.headerCount} headers; got ${count}.`);
  if (bytes > LIMITS.headerBytes) throw new MessageTooLargeError('Headers', bytes, LIMITS.headerBytes);
  return Object.freeze(headers);
}

/** What of the headers on the wire a handler may see: allowed names and types only, without prototype. */
export function readHeaders(raw: Readonly<Record<string, unknown>> | undefined): Headers {
  if (raw === undefined) return NO_HEADERS;
  let headers: Record<string, HeaderValue> | undefined;
  let count = 0;
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    if (!isHeaderValue(value) || isReservedHeader(name)) continue;
    if (++count > LIMITS.headerCount) break;
    headers ??= Object.create(null) as Record<string, HeaderValue>;
    headers[name] = value;
  }
  return headers ? Object.freeze(headers) : NO_HEADERS;
}
