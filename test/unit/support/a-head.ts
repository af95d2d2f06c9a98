import fc from 'fast-check';
import { DecodeError } from '../../../lib/core/errors.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import type { MessageHead } from '../../../lib/core/serializer.js';

/** A message without its body. */
export function aHead(over: Partial<MessageHead> = {}): MessageHead {
  return {
    id: 'm-1',
    type: '',
    topic: 'orders.created',
    contentType: 'application/json',
    headers: NO_HEADERS,
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    source: 'shop',
    ...over,
  };
}

/** Any JSON, but for the names that are refused, which are made often. */
export const harmlessJson = fc.jsonValue().filter((value) => !/"(__proto__|constructor)":/.test(JSON.stringify(value)));

/** What `decode` throws, unless it is a DecodeError, as bytes that nobody understands deserve. */
export function strangeErrorOf(decode: () => unknown): unknown {
  try {
    decode();
  } catch (error) {
    if (!(error instanceof DecodeError)) return error;
  }
  return undefined;
}
