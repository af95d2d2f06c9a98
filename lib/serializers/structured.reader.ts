import { DecodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { readBinary } from './structured.binary.js';
import { StructuredBudget } from './structured.budget.js';

type Fields = Readonly<Record<string, unknown>>;

/** A value that can be referred to. */
interface Known {
  readonly value: unknown;
  /** How many values are in it; while it is being read, itself. */
  values: number;
}

/** Those that can be there more than once. */
const REFERABLE: readonly string[] = ['$date', '$binary', '$array', '$set', '$map'];
const DIGITS = /^-?(0|[1-9][0-9]*)$/;
const NUMBERS: Readonly<Record<string, number>> = {
  '-0': -0,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
};

/** Makes of parsed JSON what was written. A body, a reader. */
export class StructuredReader {
  private readonly known = new Map<number, Known>();
  private readonly budget = new StructuredBudget();
  /** Values of properties named `constructor`, which may get their own properties later. */
  private readonly constructors: object[] = [];

  /** @throws DecodeError, never quoting the body */
  read(json: unknown): unknown {
    const value = this.value(json);
    if (this.constructors.some((given) => Object.hasOwn(given, 'prototype')))
      throw new DecodeError('The body has a property "__proto__", or "constructor" with a "prototype" in it.');
    return value;
  }

  private value(json: unknown): unknown {
    this.check(this.budget.spend(1));
    if (typeof json !== 'object' || json === null) return json;
    if (Array.isArray(json)) return json.map((item) => this.value(item));
    const fields = json as Fields;
    const tags = Object.keys(fields).filter((name) => name.startsWith('$') && !name.startsWith('$$'));
    const [tag, ...others] = tags.filter((name) => name !== '$id' && name !== '$type');
    if (tag === undefined) return this.fields(fields, tags);
    const isAlone = others.length === 0 && tags.length === Object.keys(fields).length;
    const isMisplaced = ('$type' in fields && tag !== '$binary') || ('$id' in fields && !REFERABLE.includes(tag));
    if (!isAlone || isMisplaced) throw invalid();
    return this.tagged(tag, fields);
  }

  private tagged(tag: string, fields: Fields): unknown {
    const content = fields[tag];
    switch (tag) {
      case '$undefined':
        return onlyIf(content === true, undefined);
      case '$number':
        return onlyIf(typeof content === 'string' && Object.hasOwn(NUMBERS, content), NUMBERS[String(content)]);
      case '$bigint':
        return toBigInt(content);
      case '$ref':
        return this.reference(content);
      case '$date':
        return this.add(fields, toDate(content), () => undefined);
      case '$binary':
        return this.add(fields, toBinary(fields.$type, content), () => undefined);
      case '$array':
        return this.array(fields, listOf(content));
      case '$set':
        return this.set(fields, listOf(content));
      case '$map':
        return this.map(fields, listOf(content));
      default:
        throw invalid();
    }
  }

  private array(fields: Fields, content: readonly unknown[]): unknown {
    const items: unknown[] = [];
    return this.add(fields, items, () => {
      for (const item of content) items.push(this.value(item));
    });
  }

  private set(fields: Fields, content: readonly unknown[]): unknown {
    const members = new Set<unknown>();
    return this.add(fields, members, () => {
      const all = content.map((member) => this.value(member));
      this.check(this.budget.spendKeys(all));
      for (const member of all) members.add(member);
    });
  }

  private map(fields: Fields, content: readonly unknown[]): unknown {
    const entries = new Map<unknown, unknown>();
    return this.add(fields, entries, () => {
      const all = content.map((entry) => {
        const pair = listOf(entry);
        if (pair.length !== 2) throw invalid();
        return [this.value(pair[0]), this.value(pair[1])] as const;
      });
      this.check(this.budget.spendKeys(all.map(([key]) => key)));
      for (const [key, value] of all) entries.set(key, value);
    });
  }

  /** An object like any other, perhaps with a number. */
  private fields(fields: Fields, tags: readonly string[]): unknown {
    if (tags.some((tag) => tag !== '$id')) throw invalid();
    const object: Record<string, unknown> = {};
    return this.add(fields, object, () => {
      for (const [written, item] of Object.entries(fields)) {
        if (written === '$id') continue;
        const name = written.startsWith('$$') ? written.slice(1) : written;
        const value = this.value(item);
        if (name === 'constructor' && typeof value === 'object' && value !== null) this.constructors.push(value);
        object[name] = value;
      }
    });
  }

  /** Known by its number before its content is read, which may refer to it. */
  private add(fields: Fields, value: unknown, fill: () => void): unknown {
    const { $id } = fields;
    if ($id === undefined) {
      fill();
      return value;
    }
    if (typeof $id !== 'number' || !Number.isSafeInteger($id) || $id < 1 || this.known.has($id)) throw invalid();
    const before = this.budget.values;
    const known: Known = { value, values: 1 };
    this.known.set($id, known);
    fill();
    known.values = this.budget.values - before + 1;
    return value;
  }

  private reference(id: unknown): unknown {
    const known = typeof id === 'number' ? this.known.get(id) : undefined;
    if (!known) throw invalid();
    this.check(this.budget.spend(known.values));
    return known.value;
  }

  private check(problem: string | undefined): void {
    if (problem !== undefined) throw new DecodeError(`The body ${problem}.`);
  }
}

function listOf(content: unknown): readonly unknown[] {
  if (!Array.isArray(content)) throw invalid();
  return content;
}

function toBigInt(content: unknown): bigint {
  if (typeof content !== 'string' || content.length > LIMITS.bigintDigits + 1 || !DIGITS.test(content)) throw invalid();
  // a sign is no digit
  if (content.length > LIMITS.bigintDigits && !content.startsWith('-')) throw invalid();
  return BigInt(content);
}

function toDate(content: unknown): Date {
  if (content === null) return new Date(Number.NaN);
  const date = new Date(typeof content === 'string' ? content : Number.NaN);
  return onlyIf(!Number.isNaN(date.getTime()) && date.toISOString() === content, date) as Date;
}

function toBinary(type: unknown, content: unknown): unknown {
  const value = typeof content === 'string' ? readBinary(type, content) : undefined;
  return onlyIf(value !== undefined, value);
}

function onlyIf(isValid: boolean, value: unknown): unknown {
  if (!isValid) throw invalid();
  return value;
}

function invalid(): DecodeError {
  return new DecodeError('The body is JSON, but not as structured data is written.');
}
