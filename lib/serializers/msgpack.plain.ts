import { toUSVString, types } from 'node:util';
import { isError } from '../core/is-error.js';
import { LIMITS } from '../core/limits.js';
import { unserializable } from '../core/unserializable.js';

const INT64 = 2n ** 63n;
const UINT64 = 2n ** 64n;

/**
 * The same payload in what MessagePack has a type for: `undefined` is left out of objects and null in arrays, as in JSON, a `Map`
 * is an object, a `Uint8Array` is a `Buffer`, which the writer takes for bytes.
 *
 * @throws ValidationError that says what there is no type for
 */
export function toMsgpackPlain(value: unknown, depth = 0): unknown {
  if (depth > LIMITS.depth) throw unserializable(`it has a cycle, or is nested deeper than ${LIMITS.depth} levels`);
  if (value === undefined || value === null) return null;
  if (typeof value === 'object') return fromObject(value, depth);
  if (typeof value === 'string') return wellFormed(value);
  if (typeof value === 'bigint' && (value < -INT64 || value >= UINT64))
    throw unserializable('it holds a BigInt of more than 64 bits');
  if (typeof value === 'function' || typeof value === 'symbol')
    throw unserializable(`a ${typeof value} cannot be written as MessagePack`);
  return value;
}

/** Half a surrogate pair has no bytes in UTF-8: it would come out as another character, or not at all. */
function wellFormed(text: string): string {
  if (toUSVString(text) !== text) throw unserializable('it has a text with half a surrogate pair');
  return text;
}

function fromObject(value: object, depth: number): unknown {
  if (types.isDate(value)) {
    if (Number.isNaN(value.getTime())) throw unserializable('it holds an invalid Date');
    return value;
  }
  if (types.isUint8Array(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return Array.from(value as readonly unknown[], (item) => toMsgpackPlain(item, depth + 1));
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function') return toMsgpackPlain(toJSON.call(value), depth + 1);
  const kind = kindWithoutType(value);
  if (kind !== undefined) throw unserializable(`MessagePack has no type for ${kind}`);
  const entries = types.isMap(value) ? [...value] : Object.entries(value);
  const fields = entries.filter(([, item]) => item !== undefined);
  // as a Map, in which any name is a name
  return new Map(fields.map(([name, item]) => [toMsgpackPlain(name, depth), toMsgpackPlain(item, depth + 1)]));
}

function kindWithoutType(value: object): string | undefined {
  if (types.isSet(value)) return 'a Set';
  if (isError(value)) return 'an Error';
  if (types.isRegExp(value)) return 'a RegExp';
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return 'other binary data than a Uint8Array';
  if (types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value))
    return 'a Promise or a weak collection';
  return undefined;
}
