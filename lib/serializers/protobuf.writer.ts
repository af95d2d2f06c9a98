import { toUSVString, types } from 'node:util';
import type { Enum, Field, Type } from 'protobufjs';
import { onOneLine, truncateBytes } from '../core/text.js';
import { isUnsigned } from './protobuf.int64.js';

type Fields = Record<string, unknown>;

/** Of a path in a text. */
const PATH_BYTES = 255;
/** As deep as protobufjs reads. */
const DEPTH = 100;
const INT32: readonly [number, number] = [-(2 ** 31), 2 ** 31 - 1];
const UINT32: readonly [number, number] = [0, 2 ** 32 - 1];
const DIGITS = /^-?[0-9]{1,20}$/;

/** Makes of a 64-bit integer what protobufjs writes. */
export type ToLong = (value: bigint, unsigned: boolean) => unknown;

/**
 * A payload as the message of a type, in the values that protobufjs writes. protobufjs itself would silently leave out what it does
 * not know, and turn what has another type into something.
 */
export class ProtobufWriter {
  /** Where and why, without values. */
  readonly issues: string[] = [];

  constructor(private readonly toLong: ToLong) {}

  /** @returns fields for `type.create`, which is to be used only when there are no issues */
  message(type: Type, payload: unknown, path = '', depth = 0): Fields {
    const fields: Fields = {};
    if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
      return this.complain(path, 'must be an object', fields);
    }
    if (depth > DEPTH) return this.complain(path, `is nested deeper than ${DEPTH} levels, or a cycle`, fields);
    for (const [name, value] of Object.entries(payload)) {
      const field = Object.hasOwn(type.fields, name) ? type.fields[name] : undefined;
      const at = path === '' ? name : `${path}.${name}`;
      if (value === undefined || value === null) continue;
      if (!field) this.complain(at, 'is no field of the schema', undefined);
      else fields[name] = this.field(field, value, at, depth);
    }
    for (const { name, required } of type.fieldsArray) {
      if (required && fields[name] === undefined)
        this.complain(path === '' ? name : `${path}.${name}`, 'is required', 0);
    }
    for (const { name, oneof } of type.oneofsArray) {
      if (oneof.filter((one) => fields[one] !== undefined).length > 1)
        this.complain(path === '' ? name : `${path}.${name}`, 'can be only one of its fields', 0);
    }
    return fields;
  }

  private field(field: Field, value: unknown, path: string, depth: number): unknown {
    if ('keyType' in field) return this.map(field as Field & { readonly keyType: string }, value, path, depth);
    if (!field.repeated) return this.single(field, value, path, depth);
    if (!Array.isArray(value)) return this.complain(path, 'must be an array', []);
    return value.map((item, index) => this.single(field, item, `${path}[${index}]`, depth));
  }

  private map(field: Field & { readonly keyType: string }, value: unknown, path: string, depth: number): unknown {
    if (typeof value !== 'object' || value === null) return this.complain(path, 'must be an object or a Map', {});
    const entries: readonly (readonly [unknown, unknown])[] = types.isMap(value) ? [...value] : Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, item]) => {
        // keys are data: they stay out of the text
        if (!isKey(key, field.keyType) || key === '__proto__')
          this.complain(path, `has a key that is no ${field.keyType}`, 0);
        return [String(key), this.single(field, item, `${path}[…]`, depth)];
      }),
    );
  }

  private single(field: Field, value: unknown, path: string, depth: number): unknown {
    const { resolvedType, type } = field;
    if (resolvedType && 'valuesById' in resolvedType) return this.enum(resolvedType, value, path);
    if (resolvedType) return resolvedType.create(this.message(resolvedType, value, path, depth + 1));
    switch (type) {
      case 'string':
        return typeof value === 'string' && toUSVString(value) === value
          ? value
          : this.complain(path, 'must be a string that UTF-8 can write', '');
      case 'bool':
        return typeof value === 'boolean' ? value : this.complain(path, 'must be true or false', false);
      case 'bytes':
        return types.isUint8Array(value) ? value : this.complain(path, 'must be a Uint8Array', new Uint8Array(0));
      case 'double':
        return typeof value === 'number' ? value : this.complain(path, 'must be a number', 0);
      case 'float':
        return typeof value === 'number' && Number.isFinite(Math.fround(value)) === Number.isFinite(value)
          ? value
          : this.complain(path, 'must be a number that fits into 32 bits', 0);
      default:
        return type.includes('64') ? this.int64(type, value, path) : this.int32(type, value, path);
    }
  }

  private enum({ values }: Enum, value: unknown, path: string): unknown {
    if (typeof value === 'string' && Object.hasOwn(values, value)) return values[value];
    if (typeof value === 'number' && Number.isInteger(value) && isWithin(value, INT32)) return value;
    return this.complain(path, `must be one of ${Object.keys(values).join(', ')}`, 0);
  }

  private int32(type: string, value: unknown, path: string): unknown {
    const range = type === 'uint32' || type === 'fixed32' ? UINT32 : INT32;
    if (typeof value === 'number' && Number.isInteger(value) && isWithin(value, range)) return value;
    return this.complain(path, `must be a whole number from ${range[0]} to ${range[1]}`, 0);
  }

  private int64(type: string, value: unknown, path: string): unknown {
    const unsigned = isUnsigned(type);
    const number = toBigInt(value);
    const wrapped = number === undefined || (unsigned ? BigInt.asUintN(64, number) : BigInt.asIntN(64, number));
    if (number !== undefined && number === wrapped) return this.toLong(number, unsigned);
    return this.complain(path, `must be a ${type}: a BigInt, a safe whole number, or its digits as a string`, 0);
  }

  private complain<T>(path: string, why: string, instead: T): T {
    // names in it are somebody's own, as long as they like
    this.issues.push(path === '' ? why : `${truncateBytes(onOneLine(path.slice(0, PATH_BYTES)), PATH_BYTES)}: ${why}`);
    return instead;
  }
}

function isWithin(value: number, [min, max]: readonly [number, number]): boolean {
  return value >= min && value <= max;
}

function toBigInt(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'string' && DIGITS.test(value) ? BigInt(value) : undefined;
}

function isKey(key: unknown, keyType: string): boolean {
  const text = String(key);
  if (keyType === 'string') return typeof key === 'string' && toUSVString(key) === key;
  if (keyType === 'bool') return text === 'true' || text === 'false';
  const number = DIGITS.test(text) ? BigInt(text) : undefined;
  if (number === undefined) return false;
  if (keyType.includes('64'))
    return number === (isUnsigned(keyType) ? BigInt.asUintN(64, number) : BigInt.asIntN(64, number));
  return isWithin(Number(number), keyType === 'uint32' || keyType === 'fixed32' ? UINT32 : INT32);
}
