import type { Enum, Field, Type } from 'protobufjs';
import { DecodeError } from '../core/errors.js';
import { fromLong, type Int64Form, inForm, isUnsigned, type LongLike } from './protobuf.int64.js';

type Fields = Readonly<Record<string, unknown>>;
type Convert = (value: unknown) => unknown;

/** How one field is made plain, found once for each type. */
interface FieldPlan {
  readonly name: string;
  readonly kind: 'map' | 'list' | 'single';
  readonly convert: Convert;
  /** The number behind the key of a map with 64-bit keys. */
  readonly keyOf: ((key: string) => string) | undefined;
  /** What is there when the field is not; none for a field with presence. */
  readonly instead: (() => unknown) | undefined;
}

/** Makes plain data of decoded messages: each field that is there, and of the others those that have a default instead of presence. */
export class ProtobufReader {
  private readonly plans = new Map<Type, readonly FieldPlan[]>();

  /** @param longKey gives the number behind the key of a map with 64-bit keys */
  constructor(
    private readonly int64: Int64Form,
    private readonly longKey: (key: string, isUnsigned: boolean) => unknown,
  ) {}

  toPlain(type: Type, message: object): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const plan of this.planOf(type)) {
      const { name, kind } = plan;
      const value = Object.hasOwn(message, name) ? (message as Fields)[name] : undefined;
      if (kind === 'map') result[name] = toMap(plan, value);
      else if (kind === 'list') result[name] = toList(plan, value);
      else if (value !== undefined && value !== null) result[name] = plan.convert(value);
      else if (plan.instead) result[name] = plan.instead();
    }
    return result;
  }

  private planOf(type: Type): readonly FieldPlan[] {
    const known = this.plans.get(type);
    if (known) return known;
    const plans = type.fieldsArray.map((field): FieldPlan => {
      const convert = this.convertOf(field);
      const hasDefault = !field.hasPresence && field.typeDefault !== null;
      const keyType = 'keyType' in field ? String(field.keyType) : undefined;
      return {
        name: field.name,
        kind: keyType === undefined ? (field.repeated ? 'list' : 'single') : 'map',
        convert,
        keyOf: keyType?.includes('64') ? (key) => String(this.longKey(key, isUnsigned(keyType))) : undefined,
        instead: hasDefault ? () => convert(field.typeDefault) : undefined,
      };
    });
    this.plans.set(type, plans);
    return plans;
  }

  private convertOf(field: Field): Convert {
    const { resolvedType, type } = field;
    const { int64 } = this;
    if (resolvedType && 'valuesById' in resolvedType) return (value) => nameOf(resolvedType, Number(value));
    if (resolvedType) return (value) => this.toPlain(resolvedType, value as object);
    // its own memory: the body may be read again
    if (type === 'bytes') return (value) => new Uint8Array(value as Uint8Array);
    if (!type.includes('64')) return (value) => value;
    const unsigned = isUnsigned(type);
    return (value) => (typeof value === 'number' ? inForm(value, int64) : fromLong(value as LongLike, unsigned, int64));
  }
}

function toList({ convert }: FieldPlan, value: unknown): unknown[] {
  const items: unknown[] = [];
  if (Array.isArray(value)) for (const item of value) items.push(convert(item));
  return items;
}

function toMap({ convert, keyOf }: FieldPlan, value: unknown): Record<string, unknown> {
  const entries: Record<string, unknown> = {};
  if (typeof value !== 'object' || value === null) return entries;
  for (const key of Object.keys(value)) {
    const written = keyOf ? keyOf(key) : key;
    if (written === '__proto__') throw new DecodeError('The body has a map with a key "__proto__".');
    entries[written] = convert((value as Fields)[key]);
  }
  return entries;
}

function nameOf({ valuesById }: Enum, value: number): string | number {
  // one that a newer schema has comes as its number
  return valuesById[value] ?? value;
}
