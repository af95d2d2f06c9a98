import type { Field, Type } from 'protobufjs';
import { LIMITS } from '../core/limits.js';

/** As deep as protobufjs reads. */
const DEPTH = 100;
const VARINT_BYTES = 10;
const VARINT = 0;
const FIXED64 = 1;
const SIZED = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;
/** What is dearer than a number or a text. */
const OBJECT = 4;
const BYTES = 6;
/** Its name has to be found among the others. */
const ENTRY = 12;
/** A number of 64 bits is two objects on its way. */
const INT64 = 3;
/** Of other numbers that come one behind the other. */
const PACKED = 0.25;
const SINGLE_BYTE_END = 0x80;

/** What may be in a body, as its schema has it. */
interface Shape {
  readonly fields: ReadonlyMap<number, FieldShape>;
  /** What a message costs in which nothing is: its defaults are made of it as well. */
  readonly cost: number;
}

interface FieldShape {
  readonly cost: number;
  readonly isPackable: boolean;
  /** In bytes, of an item that is packed; 0 for a varint. */
  readonly width: number;
  /** Of a message, or of the value in an entry of a map. */
  readonly type: Type | undefined;
  readonly isMap: boolean;
}

/**
 * What it would cost to make values of a body, found without making any: a message in which nothing is takes two bytes, and becomes
 * an object with all of its defaults.
 */
export class ProtobufBudget {
  private readonly shapes = new Map<Type, Shape>();
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private left = 0;

  /** @returns whether it is within the limit, and can be read so far as it was looked at */
  isWithin(type: Type, body: Uint8Array): boolean {
    this.bytes = body;
    this.at = 0;
    this.left = LIMITS.protobufValues;
    try {
      return this.message(type, body.byteLength, 0);
    } finally {
      this.bytes = new Uint8Array(0);
    }
  }

  private message(type: Type | undefined, end: number, depth: number): boolean {
    const shape = type && this.shapeOf(type);
    this.left -= shape?.cost ?? 1;
    if (depth > DEPTH) return false;
    while (this.at < end) {
      const tag = this.varint();
      // where none has begun, protobufjs stops
      if ((tag & 7) === GROUP_END) return true;
      if (!this.field(shape?.fields.get(tag >>> 3), tag & 7, end, depth) || this.left < 0) return false;
    }
    return this.at === end;
  }

  private field(field: FieldShape | undefined, wire: number, end: number, depth: number): boolean {
    this.left -= field?.cost ?? 1;
    switch (wire) {
      case VARINT:
        this.varint();
        return true;
      case FIXED64:
        this.at += 8;
        return true;
      case FIXED32:
        this.at += 4;
        return true;
      case GROUP:
        return this.message(field?.type, end, depth + 1);
      case SIZED:
        return this.sized(field, end, depth);
      default:
        return false;
    }
  }

  private sized(field: FieldShape | undefined, limit: number, depth: number): boolean {
    const size = this.varint();
    const end = this.at + size;
    if (end > limit) return false;
    if (field?.isMap) return this.entry(field, end, depth);
    if (field?.type) return this.message(field.type, end, depth + 1);
    if (field?.isPackable) this.left -= this.items(field, end) * (field.cost === INT64 ? INT64 : PACKED);
    this.at = end;
    return true;
  }

  /** A map's key and value; a value that is not there is made all the same. */
  private entry({ type }: FieldShape, end: number, depth: number): boolean {
    if (type) this.left -= this.shapeOf(type).cost;
    while (this.at < end) {
      const tag = this.varint();
      const isValue = type !== undefined && tag === ((2 << 3) | SIZED);
      if (!isValue) {
        if (!this.field(undefined, tag & 7, end, depth) || this.left < 0) return false;
        continue;
      }
      const size = this.varint();
      if (this.at + size > end || !this.message(type, this.at + size, depth + 1) || this.left < 0) return false;
    }
    return this.at === end;
  }

  private items({ width }: FieldShape, end: number): number {
    if (width > 0) return Math.ceil((end - this.at) / width);
    let count = 0;
    for (let at = this.at; at < end; at++) if ((this.bytes[at] ?? 0) < SINGLE_BYTE_END) count++;
    return count;
  }

  /** The lower 32 bits of it, as protobufjs takes sizes and tags. */
  private varint(): number {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES; i++) {
      const byte = this.bytes[this.at++] ?? 0;
      if (i < 5) value |= (byte & 0x7f) << (7 * i);
      if (byte < SINGLE_BYTE_END) return value >>> 0;
    }
    // no varint, which protobufjs says as well
    this.left = -1;
    return 0;
  }

  private shapeOf(type: Type): Shape {
    const known = this.shapes.get(type);
    if (known) return known;
    const fields = type.fieldsArray.map((field) => [field.id, shapeOf(field)] as const);
    const cost = fields.reduce((sum, [, { isMap, cost: one }]) => sum + (isMap ? 1 : one), OBJECT);
    const shape = { fields: new Map(fields), cost };
    this.shapes.set(type, shape);
    return shape;
  }
}

function shapeOf(field: Field): FieldShape {
  const { resolvedType, type } = field;
  const isMap = 'keyType' in field;
  return {
    cost: isMap ? ENTRY : type === 'bytes' ? BYTES : type.includes('64') ? INT64 : 1,
    isPackable: field.repeated && type !== 'string' && type !== 'bytes',
    width: type === 'double' || type.endsWith('fixed64') ? 8 : type === 'float' || type.endsWith('fixed32') ? 4 : 0,
    type: resolvedType && 'fieldsArray' in resolvedType ? resolvedType : undefined,
    isMap,
  };
}
