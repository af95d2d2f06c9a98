import { LIMITS } from '../core/limits.js';

/** What a writer of MessagePack has written and no reader of ours takes. */
export type MsgpackHazard = 'depth' | 'prototype' | 'key' | 'extension';

const PROTO = Buffer.from('__proto__');
const CONSTRUCTOR = Buffer.from('constructor');
const PROTOTYPE = Buffer.from('prototype');
const MARK = -1;

/** How many bytes follow a tag from 0xc0 to 0xd3 that stands for one value of a fixed size; `MARK` for all others. */
const FIXED = Int8Array.from([0, MARK, 0, 0, MARK, MARK, MARK, MARK, MARK, MARK, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8]);

/** Goes over MessagePack that has just been written, without making values of it: little beside the writing. */
export class MsgpackScanner {
  private found: MsgpackHazard | undefined;
  /** Whether the map that ended last has a `prototype`. */
  private hasPrototype = false;

  /** @param bytes one value, whole */
  hazardOf(bytes: Uint8Array): MsgpackHazard | undefined {
    this.found = undefined;
    this.value(bytes, 0, 0);
    return this.found;
  }

  /** @returns where it ends; anywhere, when something was found */
  private value(bytes: Uint8Array, at: number, depth: number): number {
    const tag = at < bytes.length ? (bytes[at] as number) : 0;
    if (tag < 0x80 || tag >= 0xe0) return at + 1;
    if (tag >= 0xa0 && tag < 0xc0) return at + 1 + (tag & 0x1f);
    if (tag < 0x90) return this.map(bytes, at + 1, tag & 0x0f, depth);
    if (tag < 0xa0) return this.array(bytes, at + 1, tag & 0x0f, depth);
    const fixed = tag < 0xd4 ? (FIXED[tag - 0xc0] as number) : MARK;
    return fixed === MARK ? this.sized(bytes, at, tag, depth) : at + 1 + fixed;
  }

  private sized(bytes: Uint8Array, at: number, tag: number, depth: number): number {
    switch (tag) {
      case 0xc4:
      case 0xd9:
        return at + 2 + lengthAt(bytes, at + 1, 1);
      case 0xc5:
      case 0xda:
        return at + 3 + lengthAt(bytes, at + 1, 2);
      case 0xc6:
      case 0xdb:
        return at + 5 + lengthAt(bytes, at + 1, 4);
      case 0xdc:
        return this.array(bytes, at + 3, lengthAt(bytes, at + 1, 2), depth);
      case 0xdd:
        return this.array(bytes, at + 5, lengthAt(bytes, at + 1, 4), depth);
      case 0xde:
        return this.map(bytes, at + 3, lengthAt(bytes, at + 1, 2), depth);
      case 0xdf:
        return this.map(bytes, at + 5, lengthAt(bytes, at + 1, 4), depth);
      default:
        return this.timestamp(bytes, at, tag);
    }
  }

  /** The one extension that is standard, in the three sizes that it has. */
  private timestamp(bytes: Uint8Array, at: number, tag: number): number {
    const begin = tag === 0xc7 ? at + 2 : at + 1;
    const size = tag === 0xd6 ? 4 : tag === 0xd7 ? 8 : tag === 0xc7 && bytes[at + 1] === 12 ? 12 : 0;
    if (size === 0 || bytes[begin] !== 0xff) this.found = 'extension';
    return begin + 1 + size;
  }

  private array(bytes: Uint8Array, begin: number, length: number, depth: number): number {
    if (depth >= LIMITS.depth) this.found = 'depth';
    let at = begin;
    for (let i = 0; i < length && this.found === undefined; i++) at = this.value(bytes, at, depth + 1);
    this.hasPrototype = false;
    return at;
  }

  private map(bytes: Uint8Array, begin: number, length: number, depth: number): number {
    if (depth >= LIMITS.depth) this.found = 'depth';
    let hasPrototype = false;
    let at = begin;
    for (let i = 0; i < length && this.found === undefined; i++) {
      const tag = bytes[at++] as number;
      let size = tag & 0x1f;
      if (tag < 0xa0 || tag >= 0xc0) {
        const width = tag === 0xd9 ? 1 : tag === 0xda ? 2 : tag === 0xdb ? 4 : 0;
        if (width === 0) this.found = 'key';
        size = lengthAt(bytes, at, width);
        at += width;
      }
      const name = at;
      this.hasPrototype = false;
      at = this.value(bytes, name + size, depth + 1);
      if (size === PROTO.length) {
        if (isAt(bytes, name, PROTO)) this.found = 'prototype';
        else if (isAt(bytes, name, PROTOTYPE)) hasPrototype = true;
      } else if (this.hasPrototype && size === CONSTRUCTOR.length && isAt(bytes, name, CONSTRUCTOR)) {
        this.found = 'prototype';
      }
    }
    this.hasPrototype = hasPrototype;
    return at;
  }
}

function lengthAt(bytes: Uint8Array, at: number, width: number): number {
  let length = 0;
  for (let i = at; i < at + width; i++) length = length * 256 + (bytes[i] ?? 0);
  return length;
}

function isAt(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false;
  return true;
}
