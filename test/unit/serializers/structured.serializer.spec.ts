import { inspect, isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { StructuredSerializer } from '../../../lib/serializers/structured.serializer.js';
import { caught } from '../support/caught.js';
import { ALLOWED_OUTCOMES, isPlain, outcomeOf } from '../support/plain.js';

const serializer = new StructuredSerializer();
const encoded = (value: unknown): string => Buffer.from(serializer.encode(value)).toString();
const decoded = (json: string): unknown => serializer.decode(Buffer.from(json));
const roundTrip = (value: unknown): unknown => serializer.decode(serializer.encode(value));

const name = fc.oneof(fc.string(), fc.constantFrom('$', '$$', '$id', '$ref', '$map', '$$date', 'toString'));
const isHarmless = (key: unknown): boolean => key !== '__proto__' && key !== 'constructor';
const domain = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(undefined, null, true, Number.NaN, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    fc.double(),
    fc.string({ unit: 'binary' }),
    fc.bigInt(),
    fc.date(),
    fc.uint8Array(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array().map((bytes) => Uint8Array.from(bytes).buffer),
    fc.uint8ClampedArray(),
    fc.int8Array(),
    fc.uint16Array(),
    fc.int16Array(),
    fc.uint32Array(),
    fc.int32Array(),
    fc.float32Array(),
    fc.float64Array(),
    fc.bigInt64Array(),
    fc.bigUint64Array(),
    fc.array(tie('value')),
    fc.array(tie('value')).map((members) => new Set(members)),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((entries) => new Map(entries)),
    fc.dictionary(name.filter(isHarmless), tie('value'), { noNullPrototype: true }),
  ),
})).value;

describe('StructuredSerializer', () => {
  it('gives back what it has written', () => {
    fc.assert(
      fc.property(domain, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
      { numRuns: 200 },
    );
  });

  it.each<[unknown, string]>([
    [{ a: 1, b: [true, null, 'x'] }, '{"a":1,"b":[true,null,"x"]}'],
    [undefined, '{"$undefined":true}'],
    [-0, '{"$number":"-0"}'],
    [Number.NaN, '{"$number":"NaN"}'],
    [12n, '{"$bigint":"12"}'],
    [new Date(0), '{"$date":"1970-01-01T00:00:00.000Z"}'],
    [new Date(Number.NaN), '{"$date":null}'],
    [new Set([1]), '{"$set":[1]}'],
    [new Map([['a', 1]]), '{"$map":[["a",1]]}'],
    [Buffer.from('hi'), '{"$binary":"aGk=","$type":"Buffer"}'],
    [new Uint16Array([1]), '{"$binary":"AQA=","$type":"Uint16Array"}'],
    [{ $date: 1, $$x: 2 }, '{"$$date":1,"$$$x":2}'],
  ])('writes %p as %s', (value, json) => {
    expect(encoded(value)).toBe(json);
  });

  it('keeps what is there twice one thing, and cycles', () => {
    const shared = { n: 1 };
    const list: unknown[] = [shared, shared];
    const map = new Map<unknown, unknown>([[shared, list]]);
    map.set('self', map);
    const at = new Date(0);
    const result = roundTrip({ shared, list, map, again: list, dates: [at, at] }) as Record<string, never>;
    const {
      shared: one,
      list: two,
      map: three,
      again,
      dates,
    } = result as unknown as {
      shared: object;
      list: unknown[];
      map: Map<unknown, unknown>;
      again: unknown[];
      dates: Date[];
    };
    expect(two[0]).toBe(one);
    expect(two[1]).toBe(one);
    expect(again).toBe(two);
    expect(three.get(one)).toBe(two);
    expect(three.get('self')).toBe(three);
    expect(dates[0]).toBe(dates[1]);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const round = roundTrip(cycle) as unknown[];
    expect(round[0]).toBe(round);
    expect(encoded(cycle)).toBe('{"$id":1,"$array":[{"$ref":1}]}');
  });

  it('keeps the shape of any graph', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 9 })), { maxLength: 25 }), (edges) => {
        const nodes = Array.from({ length: 10 }, (_, id) => ({ id, to: [] as unknown[], set: new Set<unknown>() }));
        for (const [from, to] of edges) {
          nodes[from]?.to.push(nodes[to]);
          nodes[from]?.set.add(nodes[to]);
        }
        const result = roundTrip(nodes) as typeof nodes;
        for (const [from, to] of edges) expect(result[from]?.set.has(result[to])).toBe(true);
        expect(isDeepStrictEqual(result, nodes)).toBe(true);
      }),
    );
  });

  it('writes an instance as its own fields, an Error as its name and message, and what toJSON gives', () => {
    class Money {
      readonly cents = 5n;
      secret(): string {
        return 'method';
      }
    }
    class Price {
      toJSON(): unknown {
        return new Map([['EUR', 1]]);
      }
    }
    const error = Object.assign(new TypeError('broken', { cause: new Date(0) }), { code: 'E1' });
    const price = new Price();
    const result = roundTrip({ money: new Money(), prices: [price, price], error, boxed: [Object(1n), Object('x')] });
    expect(result).toStrictEqual({
      money: { cents: 5n },
      prices: [new Map([['EUR', 1]]), new Map([['EUR', 1]])],
      error: { name: 'TypeError', message: 'broken', cause: new Date(0), code: 'E1' },
      boxed: [1n, 'x'],
    });
    expect(isPlain(result)).toBe(true);
    const holes: unknown[] = [];
    holes[1] = 1;
    expect(roundTrip(holes)).toStrictEqual([undefined, 1]);
  });

  it('gives binary data of its own memory', () => {
    const whole = new Float64Array([1, 2, 3]);
    const result = roundTrip(whole.subarray(1, 2)) as Float64Array;
    expect(result).toStrictEqual(new Float64Array([2]));
    expect(result.buffer.byteLength).toBe(8);
  });
});

describe('StructuredSerializer.encode', () => {
  const deep = (levels: number): unknown => {
    let value: unknown = 'c4n4ry';
    for (let i = 0; i < levels; i++) value = [value];
    return value;
  };
  const doubled = (levels: number): unknown => {
    let value: unknown[] = ['c4n4ry'];
    for (let i = 0; i < levels; i++) value = [value, value];
    return value;
  };

  it.each<[string, unknown, RegExp]>([
    ['a function', { f: () => 'c4n4ry' }, /a function/],
    ['a symbol', [Symbol('c4n4ry')], /a symbol/],
    ['a RegExp', { r: /c4n4ry/ }, /a RegExp/],
    ['a Promise', { p: Promise.resolve('c4n4ry') }, /a Promise/],
    ['a WeakMap', new WeakMap(), /weak/],
    ['a WeakRef', new WeakRef({}), /weak/],
    ['a generator', (function* c4n4ry() {})(), /generator/],
    ['a SharedArrayBuffer', new SharedArrayBuffer(1), /shared/],
    ['1,001 levels', deep(1_001), /nested deeper than 1000/],
    ['100,000 levels', deep(100_000), /nested deeper than 1000/],
    ['what unfolds to 2^25 values', doubled(25), /unfolds to more than 1000000 values/],
    ['an array of 2^31 holes', Array.from({ length: 1 }, () => Object.assign([], { length: 2 ** 31 })), /unfolds/],
    ['10,000 numbers in a Set', new Set(Array.from({ length: 10_000 }, (_, i) => i)), /more than 5000 numbers/],
    ['a BigInt of 20,000 digits', 10n ** 20_000n, /10000 digits/],
    ['__proto__', JSON.parse('{"a":[{"__proto__":"c4n4ry"}]}'), /"__proto__"/],
    ['constructor.prototype', { constructor: { prototype: 'c4n4ry' } }, /"constructor"/],
    ['constructor.prototype by reference', ((p) => [p, { constructor: p }])({ prototype: 'c4n4ry' }), /"constructor"/],
  ])('refuses %s, without its values', (_, payload, why) => {
    const error = caught(() => serializer.encode(payload));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ code: 'UNSERIALIZABLE' });
    expect(error.message).toMatch(why);
    expect(inspect(error, { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toContain('c4n4ry');
  });

  it('keeps what a getter throws as the cause', () => {
    const payload = {
      get total(): number {
        throw new Error('c4n4ry');
      },
    };
    const error = caught(() => serializer.encode(payload));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error.message).not.toContain('c4n4ry');
    expect((error.cause as Error).message).toBe('c4n4ry');
  });
});

describe('StructuredSerializer.decode', () => {
  it.each<[string, string]>([
    ['an unknown tag', '{"$class":"Order"}'],
    ['a reference to nothing', '{"$ref":1}'],
    ['a reference to what comes later', '[{"$ref":1},{"$id":1}]'],
    ['a reference that is no number', '[{"$id":1},{"$ref":"1"}]'],
    ['a number given twice', '[{"$id":1},{"$id":1}]'],
    ['a number that is none', '{"$id":"1"}'],
    ['a number below 1', '{"$id":0}'],
    ['a tag among other names', '{"$date":"1970-01-01T00:00:00.000Z","a":1}'],
    ['two tags', '{"$set":[],"$map":[]}'],
    ['a type without binary data', '{"$type":"Buffer","$set":[]}'],
    ['a type alone', '{"$type":"Buffer"}'],
    ['a BigInt with a number', '{"$id":1,"$bigint":"1"}'],
    ['a Map that is no list', '{"$map":{}}'],
    ['a Map of triples', '{"$map":[[1,2,3]]}'],
    ['a Map of singles', '{"$map":[[1]]}'],
    ['a Set that is no list', '{"$set":"ab"}'],
    ['an array that is none', '{"$id":1,"$array":{}}'],
    ['a date in words', '{"$date":"yesterday"}'],
    ['a date in another form', '{"$date":"1970-01-01"}'],
    ['a BigInt in hexadecimal', '{"$bigint":"0x10"}'],
    ['a BigInt with blanks', '{"$bigint":" 1"}'],
    ['a BigInt of 10,001 digits', `{"$bigint":"${'1'.repeat(10_001)}"}`],
    ['a number in words', '{"$number":"one"}'],
    ['a number that is a name of every object', '{"$number":"constructor"}'],
    ['undefined that is false', '{"$undefined":false}'],
    ['bytes that are no base64', '{"$binary":"a?==","$type":"Buffer"}'],
    ['bytes of no type', '{"$binary":"aGk="}'],
    ['bytes of a type of the process', '{"$binary":"aGk=","$type":"SharedArrayBuffer"}'],
    ['bytes that do not fill an element', '{"$binary":"aGk=","$type":"Float64Array"}'],
  ])('refuses %s', (_, json) => {
    const error = caught(() => decoded(json));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error.message).toBe('The body is JSON, but not as structured data is written.');
  });

  it.each<[string, string, RegExp]>([
    ['no JSON', '{', /not valid JSON/],
    ['__proto__', '{"$map":[["a",{"__proto__":{"admin":true}}]]}', /"__proto__"/],
    ['__proto__ in escapes', String.raw`{"\u005f_proto__":1}`, /"__proto__"/],
    ['constructor.prototype', '{"constructor":{"prototype":1}}', /"constructor"/],
    ['constructor.prototype by reference', '[{"$id":1,"prototype":1},{"constructor":{"$ref":1}}]', /"constructor"/],
    ['constructor.prototype in a cycle', '{"$id":1,"constructor":{"$ref":1},"prototype":1}', /"constructor"/],
    ['1,001 levels', `${'['.repeat(1_001)}${']'.repeat(1_001)}`, /deeper than 1000/],
  ])('refuses %s', (_, json, why) => {
    expect(caught(() => decoded(json))).toMatchObject({ name: 'DecodeError', message: expect.stringMatching(why) });
  });

  it('stops what would unfold to a billion values', () => {
    let json = '{"$id":1,"$array":[1]}';
    for (let id = 2; id <= 30; id++) json += `,{"$id":${id},"$array":[{"$ref":${id - 1}},{"$ref":${id - 1}}]}`;
    expect(caught(() => decoded(`[${json}]`)).message).toMatch(/unfolds to more than 1000000 values/);
  });

  it('stops numbers that were chosen to fall into one place of the hash table', () => {
    const begin = performance.now();
    const members = Array.from({ length: 60_000 }, (_, i) => i * 32_768 + 7);
    for (const json of [`{"$set":[${members.join()}]}`, `{"$map":[${members.map((key) => `[${key},1]`).join()}]}`]) {
      expect(caught(() => decoded(json)).message).toMatch(/more than 5000 numbers/);
    }
    const many = `[${Array.from({ length: 20 }, () => `{"$set":[${members.slice(0, 4_000).join()}]}`).join()}]`;
    expect(caught(() => decoded(many)).message).toMatch(/more than 5000 numbers/);
    expect(performance.now() - begin).toBeLessThan(2_000);
  });

  it('gives plain data or a DecodeError for any JSON, and changes no prototype', () => {
    const key = fc.constantFrom(
      '$id',
      '$ref',
      '$array',
      '$map',
      '$set',
      '$type',
      '$binary',
      '$date',
      '$$a',
      'a',
      'constructor',
      'prototype',
      '__proto__',
    );
    const json = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom(1, 2, 'Buffer', 'aGk=', null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc
          .array(fc.tuple(key, tie('value')), { maxLength: 2 })
          .map((entries) => new Map(entries))
          .map((entries) => ({ toJSON: undefined, entries })),
      ),
    })).value;
    const write = (value: unknown): string => {
      if (Array.isArray(value)) return `[${value.map(write).join()}]`;
      if (typeof value !== 'object' || value === null) return JSON.stringify(value);
      const { entries } = value as { entries: Map<string, unknown> };
      return `{${[...entries].map(([name_, item]) => `${JSON.stringify(name_)}:${write(item)}`).join()}}`;
    };
    let values = 0;
    fc.assert(
      fc.property(fc.oneof(json.map(write), fc.string()), (text) => {
        const outcome = outcomeOf(() => decoded(text));
        if (outcome === 'plain data') values++;
        expect(ALLOWED_OUTCOMES).toContain(outcome);
      }),
      { numRuns: 1_000 },
    );
    expect(values).toBeGreaterThan(100);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
