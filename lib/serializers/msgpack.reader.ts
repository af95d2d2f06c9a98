import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';

/** Texts of a body up to this size are parts of one text, which is fast, and keeps that body in memory with each of them. */
const SHARED_TEXT_BYTES = 16_384;
const KEY_SLOTS = 1_024;
const KEY_BYTES = 48;
/** So many empty objects are made in the time of one binary value. */
const BINARY = 4;
const TIMESTAMP = -1;
const NANOS = 1_000_000_000;
const NOTHING = Buffer.alloc(0);

/**
 * Reads MessagePack that anybody may have written, in one pass: every length, text, name and extension is looked at before a
 * value is made of it. Plain data comes out; of the extensions only the standard timestamp is known.
 */
export class MsgpackReader {
  private bytes: Buffer = NOTHING;
  private view: DataView = new DataView(NOTHING.buffer, 0, 0);
  private shared: string | undefined;
  private at = 0;
  /** What may still be made that is dearer than its bytes say. */
  private objects = 0;
  /** Names seen before, found by a few of their bytes: events have few, and each time the same. */
  private readonly names: (string | undefined)[] = Array.from({ length: KEY_SLOTS });

  /** @throws DecodeError, never quoting the body */
  read(body: Uint8Array): unknown {
    this.bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.shared = body.byteLength > SHARED_TEXT_BYTES ? undefined : this.bytes.toString('latin1');
    this.at = 0;
    this.objects = LIMITS.msgpackObjects;
    try {
      const value = this.value(0);
      if (this.at !== body.byteLength) throw this.invalid();
      return value;
    } catch (error) {
      // what the view throws beyond the end
      throw error instanceof RangeError ? this.invalid() : error;
    } finally {
      this.bytes = NOTHING;
      this.view = new DataView(NOTHING.buffer, 0, 0);
      this.shared = undefined;
    }
  }

  private value(depth: number): unknown {
    const tag = this.view.getUint8(this.at++);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.array(tag & 0x0f, depth);
    if (tag < 0xc0) return this.text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.view.getFloat32(this.skip(4));
      case 0xcb:
        return this.view.getFloat64(this.skip(8));
      case 0xcc:
        return this.view.getUint8(this.skip(1));
      case 0xcd:
        return this.view.getUint16(this.skip(2));
      case 0xce:
        return this.view.getUint32(this.skip(4));
      case 0xcf:
        return toNumber(this.view.getBigUint64(this.skip(8)));
      case 0xd0:
        return this.view.getInt8(this.skip(1));
      case 0xd1:
        return this.view.getInt16(this.skip(2));
      case 0xd2:
        return this.view.getInt32(this.skip(4));
      case 0xd3:
        return toNumber(this.view.getBigInt64(this.skip(8)));
      default:
        return this.sized(tag, depth);
    }
  }

  private sized(tag: number, depth: number): unknown {
    switch (tag) {
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.binary(this.length(tag - 0xc4));
      case 0xc7:
        return this.timestamp(this.length(0));
      case 0xd6:
        return this.timestamp(4);
      case 0xd7:
        return this.timestamp(8);
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.text(this.length(tag - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.array(this.length(tag - 0xdb), depth);
      case 0xde:
      case 0xdf:
        return this.map(this.length(tag - 0xdd), depth);
      case 0xc1:
        throw this.invalid();
      default:
        throw unknownExtension();
    }
  }

  /** @param size 0, 1 or 2 for one, two or four bytes */
  private length(size: number): number {
    if (size === 0) return this.view.getUint8(this.skip(1));
    return size === 1 ? this.view.getUint16(this.skip(2)) : this.view.getUint32(this.skip(4));
  }

  /** @returns where the bytes begin that are passed over */
  private skip(count: number): number {
    const begin = this.at;
    this.at = begin + count;
    return begin;
  }

  /** As `skip`, when so many bytes are there. */
  private take(count: number): number {
    if (count > this.bytes.byteLength - this.at) throw this.invalid();
    return this.skip(count);
  }

  private spend(objects: number): void {
    this.objects -= objects;
    if (this.objects < 0)
      throw new DecodeError(
        `The body has more than ${LIMITS.msgpackObjects} objects and arrays; binary data counts as ${BINARY}.`,
      );
  }

  private array(length: number, depth: number): unknown[] {
    // each item takes a byte at least: what is announced and cannot be there takes no memory
    if (length > this.bytes.byteLength - this.at) throw this.invalid();
    if (depth >= LIMITS.depth) throw tooDeep();
    this.spend(1);
    const items: unknown[] = [];
    for (let i = 0; i < length; i++) items.push(this.value(depth + 1));
    return items;
  }

  private map(length: number, depth: number): unknown {
    if (length * 2 > this.bytes.byteLength - this.at) throw this.invalid();
    if (depth >= LIMITS.depth) throw tooDeep();
    this.spend(1);
    const fields: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const name = this.name();
      const value = this.value(depth + 1);
      if (name === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype'))
        throw prototypeName();
      fields[name] = value;
    }
    return fields;
  }

  private name(): string {
    const tag = this.view.getUint8(this.at++);
    let length: number;
    if (tag >= 0xa0 && tag < 0xc0) length = tag & 0x1f;
    else if (tag >= 0xd9 && tag <= 0xdb) length = this.length(tag - 0xd9);
    else throw new DecodeError('The body has a map with a key that is no text.');
    const { bytes, at } = this;
    if (length > bytes.byteLength - at) throw this.invalid();
    if (length === 0 || length > KEY_BYTES) return this.text(length);
    const sample = (bytes[at] ?? 0) * 31 + (bytes[at + (length >> 1)] ?? 0) * 7 + (bytes[at + length - 1] ?? 0);
    const slot = (sample * 33 + length) & (KEY_SLOTS - 1);
    const known = this.names[slot];
    if (known !== undefined && known.length === length && this.isHere(known)) {
      this.at = at + length;
      return known;
    }
    const name = this.text(length);
    if (name === '__proto__') throw prototypeName();
    // shorter than its bytes: it has letters beyond ASCII, and would never be found again
    if (name.length === length) this.names[slot] = copyOf(name);
    return name;
  }

  private isHere(name: string): boolean {
    const { bytes, at } = this;
    for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name.charCodeAt(i)) return false;
    return true;
  }

  private text(length: number): string {
    const begin = this.take(length);
    const { bytes, at: end, shared } = this;
    let bits = 0;
    for (let i = begin; i < end; i++) bits |= bytes[i] ?? 0;
    if (bits < 0x80) return shared === undefined ? bytes.toString('latin1', begin, end) : shared.slice(begin, end);
    // decoding would silently put U+FFFD in place of what is not UTF-8
    if (!isUtf8(bytes.subarray(begin, end))) throw new DecodeError('The body has a text that is not valid UTF-8.');
    return bytes.toString('utf8', begin, end);
  }

  /** Bytes of its own: the body may be read again, by others as well. */
  private binary(length: number): Uint8Array {
    const begin = this.take(length);
    this.spend(BINARY);
    return new Uint8Array(this.bytes.subarray(begin, begin + length));
  }

  private timestamp(length: number): Date {
    const isStandard = this.view.getInt8(this.skip(1)) === TIMESTAMP;
    if (!isStandard || (length !== 4 && length !== 8 && length !== 12)) throw unknownExtension();
    const begin = this.take(length);
    if (length === 4) return new Date(this.view.getUint32(begin) * 1_000);
    const [nanos, seconds] =
      length === 8
        ? [
            this.view.getUint32(begin) >>> 2,
            (this.view.getUint32(begin) & 3) * 2 ** 32 + this.view.getUint32(begin + 4),
          ]
        : [this.view.getUint32(begin), Number(this.view.getBigInt64(begin + 4))];
    const date = new Date(seconds * 1_000 + Math.floor(nanos / 1_000_000));
    if (nanos >= NANOS || Number.isNaN(date.getTime()))
      throw new DecodeError('The body has a timestamp that is no date.');
    return date;
  }

  private invalid(): DecodeError {
    return new DecodeError(`The body is not valid MessagePack (${this.bytes.byteLength} bytes).`);
  }
}

/** As a number where that is exact. */
function toNumber(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** Not a part of the text that the body was read as, which it would keep. */
function copyOf(name: string): string {
  return Buffer.from(name, 'latin1').toString('latin1');
}

function tooDeep(): DecodeError {
  return new DecodeError(`The body is nested deeper than ${LIMITS.depth} levels.`);
}

function prototypeName(): DecodeError {
  return new DecodeError('The body has a property "__proto__", or "constructor" with a "prototype" in it.');
}

function unknownExtension(): DecodeError {
  return new DecodeError('The body has a MessagePack extension that is not the timestamp.');
}
