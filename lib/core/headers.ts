import { ConfigurationError, MessageTooLargeError } from './errors.js';
import { LIMITS } from './limits.js';
import type { Headers, HeaderValue } from './message.js';
import { isWellFormed, toWellFormed } from './text.js';

/** Prefix of the headers in which the bus itself keeps things. */
export const INTERNAL_PREFIX = 'eb-';

/** AMQP carries names as short strings; those that this library sends are shorter. */
const WIRE_NAME_BYTES = 255;

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
    if (!isWellFormed(name)) throw new ConfigurationError('The name of a header has half of a surrogate pair.');
    if (isReservedHeader(name)) {
      throw new ConfigurationError(`Header "${name}" is reserved. Choose a name without the prefixes "eb-" and "x-".`);
    }
    if (!isHeaderValue(value)) {
      throw new ConfigurationError(`Header "${name}" must be a string, a boolean or a finite number.`);
    }
    count++;
    bytes += nameBytes + (typeof value === 'string' ? Buffer.byteLength(value) : 8);
    // as it arrives from a broker, so that rules judge the same everywhere
    headers[name] = typeof value === 'string' ? toWellFormed(value) : value;
  }
  if (count > LIMITS.headerCount)
    throw new ConfigurationError(`A message has at most ${LIMITS.headerCount} headers; got ${count}.`);
  if (bytes > LIMITS.headerBytes) throw new MessageTooLargeError('Headers', bytes, LIMITS.headerBytes);
  return Object.freeze(headers);
}

/**
 * What of the headers on the wire a handler may see: allowed names and types only, without prototype, and not more than
 * can be sent again.
 */
export function readHeaders(raw: Readonly<Record<string, unknown>> | undefined): Headers {
  if (raw === undefined) return NO_HEADERS;
  let headers: Record<string, HeaderValue> | undefined;
  const room = new HeaderRoom();
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    if (!isHeaderValue(value) || isReservedHeader(name)) continue;
    if (!room.takes(name, value)) break;
    headers ??= Object.create(null) as Record<string, HeaderValue>;
    headers[name] = value;
  }
  return headers ? Object.freeze(headers) : NO_HEADERS;
}

/** Whether `readHeaders` had to leave out headers that a handler might have asked for. */
export function areHeadersCut(raw: Readonly<Record<string, unknown>>): boolean {
  const room = new HeaderRoom();
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    if (isHeaderValue(value) && !isReservedHeader(name) && !room.takes(name, value)) return true;
  }
  return false;
}

/** What is left of the limits for the headers of one message. */
class HeaderRoom {
  private count = 0;
  private bytes = 0;

  takes(name: string, value: HeaderValue): boolean {
    const nameBytes = Buffer.byteLength(name);
    this.count++;
    this.bytes += nameBytes + (typeof value === 'string' ? Buffer.byteLength(value) : 8);
    // a name that is not UTF-8 grows when it is read
    return nameBytes <= WIRE_NAME_BYTES && this.count <= LIMITS.headerCount && this.bytes <= LIMITS.headerBytes;
  }
}
