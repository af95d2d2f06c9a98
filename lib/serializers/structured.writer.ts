import { types } from 'node:util';
import { isError } from '../core/is-error.js';
import { LIMITS } from '../core/limits.js';
import { unserializable } from '../core/unserializable.js';
import { writeBinary } from './structured.binary.js';
import { StructuredBudget } from './structured.budget.js';

type Fields = Record<string, unknown>;

/** Where a value goes, so that it can be given a number when it turns up a second time. */
interface Place {
  readonly holder: Fields | unknown[];
  readonly key: string | number;
  id?: number;
  /** How many values are in it; while it is being written, itself. */
  values: number;
}

const BIGINT_LIMIT = 10n ** BigInt(LIMITS.bigintDigits);
const TOO_DEEP = `it is nested deeper than ${LIMITS.depth} levels`;

/** Makes of one payload what JSON can write. A payload, a writer. */
export class StructuredWriter {
  private readonly places = new Map<object, Place>();
  private readonly budget = new StructuredBudget();
  private ids = 0;

  /** @throws ValidationError that says what cannot be written */
  write(payload: unknown): unknown {
    const root: { payload?: unknown } = {};
    this.put(payload, root, 'payload', 0);
    return root.payload;
  }

  private put(value: unknown, holder: Fields | unknown[], key: string | number, depth: number): void {
    if (depth > LIMITS.depth) throw unserializable(TOO_DEEP);
    check(this.budget.spend(1));
    if (typeof value === 'object' && value !== null) this.putObject(value, holder, key, depth);
    else (holder as Fields)[key] = writePrimitive(value);
  }

  private putObject(value: object, holder: Fields | unknown[], key: string | number, depth: number): void {
    const known = this.places.get(value);
    if (known) {
      check(this.budget.spend(known.values));
      (holder as Fields)[key] = { $ref: this.number(known) };
      return;
    }
    const before = this.budget.values;
    const place: Place = { holder, key, values: 1 };
    this.places.set(value, place);
    this.fill(value, place, depth);
    place.values = this.budget.values - before + 1;
  }

  private fill(value: object, place: Place, depth: number): void {
    const binary = writeBinary(value);
    const { toJSON } = value as { readonly toJSON?: unknown };
    if (types.isDate(value)) {
      store(place, { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() });
    } else if (types.isMap(value)) this.putMap(value, place, depth);
    else if (types.isSet(value)) this.putSet(value, place, depth);
    else if (Array.isArray(value)) this.putArray(value, place, depth);
    else if (binary) store(place, { $binary: binary.base64, $type: binary.name });
    else if (typeof toJSON === 'function') this.putInstead(value, toJSON.call(value), place, depth);
    else if (types.isBoxedPrimitive(value)) this.putInstead(value, value.valueOf(), place, depth);
    else this.putFields(value, place, depth);
  }

  private putMap(map: ReadonlyMap<unknown, unknown>, place: Place, depth: number): void {
    check(this.budget.spendKeys(map.keys()));
    const entries: unknown[] = [];
    store(place, { $map: entries });
    for (const [key, item] of map) {
      const entry: unknown[] = [];
      entries.push(entry);
      this.put(key, entry, 0, depth + 1);
      this.put(item, entry, 1, depth + 1);
    }
  }

  private putSet(set: ReadonlySet<unknown>, place: Place, depth: number): void {
    check(this.budget.spendKeys(set));
    const members: unknown[] = [];
    store(place, { $set: members });
    for (const member of set) this.put(member, members, members.length, depth + 1);
  }

  /** Holes are undefined. */
  private putArray(array: readonly unknown[], place: Place, depth: number): void {
    // a length behind which nothing stands is not gone over
    if (array.length > LIMITS.structuredValues) check(this.budget.spend(array.length));
    const items: unknown[] = [];
    store(place, items);
    for (let i = 0; i < array.length; i++) this.put(array[i], items, i, depth + 1);
  }

  /** What stands for a value may be there twice; the value itself is not. */
  private putInstead(value: object, instead: unknown, { holder, key }: Place, depth: number): void {
    this.places.delete(value);
    this.put(instead, holder, key, depth + 1);
  }

  private putFields(value: object, place: Place, depth: number): void {
    const kind = kindWithoutForm(value);
    if (kind !== undefined) throw unserializable(`it holds ${kind}`);
    const fields: Fields = {};
    store(place, fields);
    for (const [name, item] of Object.entries(isError(value) ? errorFields(value) : value)) {
      const isPrototype = typeof item === 'object' && item !== null && name === 'constructor';
      if (name === '__proto__' || (isPrototype && Object.hasOwn(item, 'prototype')))
        throw unserializable('it has a property "__proto__", or "constructor" with a "prototype" in it');
      // names of tags begin with one of them
      this.put(item, fields, name.startsWith('$') ? `$${name}` : name, depth + 1);
    }
  }

  /** The number of a value that is there more than once. */
  private number(place: Place): number {
    if (place.id !== undefined) return place.id;
    const id = ++this.ids;
    place.id = id;
    const holder = place.holder as Fields;
    const written = holder[place.key];
    holder[place.key] = Array.isArray(written) ? { $id: id, $array: written } : written;
    if (!Array.isArray(written)) (written as Fields).$id = id;
    return id;
  }
}

function check(problem: string | undefined): void {
  if (problem !== undefined) throw unserializable(`it ${problem}`);
}

function store({ holder, key }: Place, written: unknown): void {
  (holder as Fields)[key] = written;
}

function writePrimitive(value: unknown): unknown {
  if (value === undefined) return { $undefined: true };
  if (typeof value === 'bigint') return { $bigint: digitsOf(value) };
  if (typeof value === 'function' || typeof value === 'symbol')
    throw unserializable(`a ${typeof value} cannot be written as structured data`);
  if (Object.is(value, -0)) return { $number: '-0' };
  return typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value;
}

function digitsOf(value: bigint): string {
  // digits take time that grows faster than their number: only those of what fits are made
  if (value < BIGINT_LIMIT && value > -BIGINT_LIMIT) return value.toString();
  throw unserializable(`it holds a BigInt of more than ${LIMITS.bigintDigits} digits`);
}

/** An error as plain data. Where it was thrown concerns nobody else. */
function errorFields(error: Error): Fields {
  const { name, message, cause } = error;
  const own = Object.fromEntries(Object.entries(error).filter(([key]) => key !== 'stack'));
  return { name, message, ...(cause !== undefined && { cause }), ...own };
}

/** Objects whose properties do not say what they are. */
function kindWithoutForm(value: object): string | undefined {
  // a pattern from the wire may take for ever
  if (types.isRegExp(value)) return 'a RegExp: send its source and flags as texts, if its receivers are to trust it';
  if (types.isPromise(value)) return 'a Promise: await it first';
  const isWeak = types.isWeakMap(value) || types.isWeakSet(value) || value instanceof WeakRef;
  if (isWeak || types.isGeneratorObject(value) || types.isSharedArrayBuffer(value))
    return 'a weak or shared object, or a generator, which has no form outside of its process';
  return undefined;
}
