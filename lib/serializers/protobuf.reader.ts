import type { Enum, Field, Type } from 'protobufjs';
import { DecodeError } from '../core/errors.js';
import { type Int64Form, inForm, isUnsigned } from './protobuf.int64.js';

type Fields = Readonly<Record<string, unknown>>;

/** What protobufjs makes of a 64-bit integer. */
interface LongLike {
  readonly low: number;
  readonly high: number;
}

/**
 * A decoded message as plain data: each field that is there, and of the others those that have a default instead of presence.
 *
 * @param longKey gives the number behind the key of a map with 64-bit keys
 */
export function toPlain(
  type: Type,
  message: object,
  int64: Int64Form,
  longKey: (key: string, isUnsigned: boolean) => unknown,
): Record<string, unknown> {
  const plain = (field: Field, value: unknown): unknown => {
    const { resolvedType } = field;
    if (resolvedType && 'valuesById' in resolvedType) return nameOf(resolvedType, Number(value));
    if (resolvedType) return toPlain(resolvedType, value as object, int64, longKey);
    // its own memory: the body may be read again
    if (field.type === 'bytes') return new Uint8Array(value as Uint8Array);
    return isLong(value) ? toInt64(value, isUnsigned(field.type), int64) : longOf(field, value, int64);
  };
  const result: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const { name } = field;
    const value = Object.hasOwn(message, name) ? (message as Fields)[name] : undefined;
    if ('keyType' in field) {
      const { keyType } = field as Field & { readonly keyType: string };
      const entries = Object.entries((value ?? {}) as Fields).map(([key, item]) => {
        const written = keyType.includes('64') ? String(longKey(key, isUnsigned(keyType))) : key;
        if (written === '__proto__') throw new DecodeError('The body has a map with a key "__proto__".');
        return [written, plain(field, item)] as const;
      });
      result[name] = Object.fromEntries(entries);
    } else if (field.repeated) result[name] = ((value ?? []) as readonly unknown[]).map((item) => plain(field, item));
    else if (value !== undefined && value !== null) result[name] = plain(field, value);
    else if (!field.hasPresence && field.typeDefault !== null) result[name] = plain(field, field.typeDefault);
  }
  return result;
}

function nameOf({ valuesById }: Enum, value: number): string | number {
  // one that a newer schema has comes as its number
  return valuesById[value] ?? value;
}

function isLong(value: unknown): value is LongLike {
  return typeof value === 'object' && value !== null && 'low' in value && 'high' in value;
}

function longOf(field: Field, value: unknown, int64: Int64Form): unknown {
  if (typeof value !== 'number' || !field.type.includes('64')) return value;
  return inForm(BigInt(value), int64);
}

function toInt64({ low, high }: LongLike, unsigned: boolean, int64: Int64Form): unknown {
  const bits = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  return inForm(unsigned ? bits : BigInt.asIntN(64, bits), int64);
}
