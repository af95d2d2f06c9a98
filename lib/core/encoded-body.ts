import { types } from 'node:util';
import { DecodeError } from './errors.js';
import type { EncodedBody } from './serializer.js';
import { unserializable } from './unserializable.js';

const ASKED = 'the serializer must return a Uint8Array, or an object with one as its body';

/**
 * What `encode` of a serializer gave, looked at: it may be somebody's own.
 *
 * @throws ValidationError that says what must be returned
 */
export function encodedOf(result: unknown): EncodedBody {
  if (types.isUint8Array(result)) return { body: ownBytes(result) };
  if (dropPromise(result)) throw unserializable(`${ASKED}; its encode must not be asynchronous`);
  if (typeof result !== 'object' || result === null) throw unserializable(`${ASKED}, not ${nameOf(result)}`);
  const { body, contentType, contentEncoding, headers } = result as Readonly<Record<keyof EncodedBody, unknown>>;
  dropPromise(body);
  if (!types.isUint8Array(body)) throw unserializable(ASKED);
  if (contentType !== undefined && (typeof contentType !== 'string' || contentType === ''))
    throw unserializable('the contentType that the serializer returned is no text');
  if (contentEncoding !== undefined && typeof contentEncoding !== 'string')
    throw unserializable('the contentEncoding that the serializer returned is no text');
  if (headers !== undefined && (typeof headers !== 'object' || headers === null))
    throw unserializable('the headers that the serializer returned are no object');
  return {
    body: ownBytes(body),
    ...(contentType !== undefined && { contentType }),
    ...(contentEncoding !== undefined && { contentEncoding }),
    ...(headers !== undefined && { headers: headers as NonNullable<EncodedBody['headers']> }),
  };
}

/**
 * What `decode` of a serializer gave: a promise would be taken for the payload, before anybody knows whether the body can be read.
 *
 * @throws DecodeError
 */
export function decodedOf(value: unknown): unknown {
  if (dropPromise(value))
    throw new DecodeError('The body cannot be decoded: decode of a serializer must not be asynchronous.');
  return value;
}

/** Whether it is a promise. What it comes to is for nobody any more: the use of it is refused at once. */
function dropPromise(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (typeof (value as Partial<PromiseLike<unknown>>).then !== 'function') return false;
  // its rejection would be nobody's, and end the process
  Promise.resolve(value).catch(() => undefined);
  return true;
}

/** Bytes of another realm (`vm`, test runners) are no `Uint8Array` to those who ask with `instanceof`. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  const { buffer, byteOffset, byteLength } = bytes as Uint8Array;
  return Buffer.from(buffer, byteOffset, byteLength);
}

function nameOf(result: unknown): string {
  return result === null || result === undefined ? String(result) : `a ${typeof result}`;
}
