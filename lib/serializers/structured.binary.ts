import { endianness } from 'node:os';
import { types } from 'node:util';

interface Kind {
  readonly name: string;
  readonly elementBytes: number;
  is(value: unknown): boolean;
  of(bytes: ArrayBuffer): unknown;
}

/** The built-in kinds of binary data, which a body can name; no other can be made of it. The first that fits is written. */
const KINDS: readonly Kind[] = [
  { name: 'Buffer', elementBytes: 1, is: (value) => Buffer.isBuffer(value), of: (bytes) => Buffer.from(bytes) },
  { name: 'Uint8Array', elementBytes: 1, is: types.isUint8Array, of: (bytes) => new Uint8Array(bytes) },
  {
    name: 'Uint8ClampedArray',
    elementBytes: 1,
    is: types.isUint8ClampedArray,
    of: (bytes) => new Uint8ClampedArray(bytes),
  },
  { name: 'Int8Array', elementBytes: 1, is: types.isInt8Array, of: (bytes) => new Int8Array(bytes) },
  { name: 'Uint16Array', elementBytes: 2, is: types.isUint16Array, of: (bytes) => new Uint16Array(bytes) },
  { name: 'Int16Array', elementBytes: 2, is: types.isInt16Array, of: (bytes) => new Int16Array(bytes) },
  { name: 'Uint32Array', elementBytes: 4, is: types.isUint32Array, of: (bytes) => new Uint32Array(bytes) },
  { name: 'Int32Array', elementBytes: 4, is: types.isInt32Array, of: (bytes) => new Int32Array(bytes) },
  { name: 'Float32Array', elementBytes: 4, is: types.isFloat32Array, of: (bytes) => new Float32Array(bytes) },
  { name: 'Float64Array', elementBytes: 8, is: types.isFloat64Array, of: (bytes) => new Float64Array(bytes) },
  { name: 'BigInt64Array', elementBytes: 8, is: types.isBigInt64Array, of: (bytes) => new BigInt64Array(bytes) },
  { name: 'BigUint64Array', elementBytes: 8, is: types.isBigUint64Array, of: (bytes) => new BigUint64Array(bytes) },
  { name: 'DataView', elementBytes: 1, is: types.isDataView, of: (bytes) => new DataView(bytes) },
  { name: 'ArrayBuffer', elementBytes: 1, is: types.isArrayBuffer, of: (bytes) => bytes },
];

export interface WrittenBinary {
  readonly name: string;
  readonly base64: string;
}

/** Binary data as text; none for what is something else. Elements of several bytes have the lowest one first. */
export function writeBinary(value: object): WrittenBinary | undefined {
  if (!ArrayBuffer.isView(value) && !types.isArrayBuffer(value)) return undefined;
  const kind = KINDS.find((each) => each.is(value));
  if (!kind) return undefined;
  const bytes = ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value);
  return { name: kind.name, base64: littleEndian(bytes, kind.elementBytes).toString('base64') };
}

/** Binary data of its own memory; none when there is no such kind, or the text does not fit it. */
export function readBinary(name: unknown, base64: string): unknown {
  const kind = KINDS.find((each) => each.name === name);
  const bytes = Buffer.from(base64, 'base64');
  // Buffer passes over what is not base64
  if (!kind || bytes.byteLength % kind.elementBytes !== 0 || bytes.toString('base64') !== base64) return undefined;
  return kind.of(new Uint8Array(littleEndian(bytes, kind.elementBytes)).buffer);
}

function littleEndian(bytes: Buffer, elementBytes: number): Buffer {
  if (elementBytes === 1 || endianness() === 'LE') return bytes;
  const copy = Buffer.from(bytes);
  if (elementBytes === 2) return copy.swap16();
  return elementBytes === 4 ? copy.swap32() : copy.swap64();
}
