import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { MsgpackSerializer } from '../../../lib/serializers/msgpack.serializer.js';
import { caught } from '../support/caught.js';
import { ALLOWED_OUTCOMES, outcomeOf } from '../support/plain.js';

const serializer = await MsgpackSerializer.load();
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const decoded = (text: string): unknown => serializer.decode(hex(text));
const encoded = (value: unknown): string => Buffer.from(serializer.encode(value)).toString('hex');
const roundTrip = (value: unknown): unknown => serializer.decode(serializer.encode(value));

const isHarmless = (value: unknown): boolean => !/"(__proto__|constructor)":/.test(JSON.stringify(value));
const text = fc.string({ unit: 'grapheme' });
const domain = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, Number.NaN, Number.POSITIVE_INFINITY),
    fc.double().map(withoutSign),
    fc.integer(),
    fc.maxSafeInteger(),
    text,
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
    fc.uint8Array(),
    fc.date({ noInvalidDate: true }),
    fc.array(tie('value')),
    fc.dictionary(text, tie('value'), { noNullPrototype: true }),
  ),
})).value;

describe('MsgpackSerializer', () => {
  it('names its content type as registered, and the older names', () => {
    expect(serializer.contentType).toBe('application/vnd.msgpack');
    expect(serializer.contentTypeAliases).toEqual(['application/msgpack', 'application/x-msgpack']);
  });

  it('gives back what it has written', () => {
    fc.assert(
      fc.property(
        domain.filter((value) => isHarmless(JSON.parse(inspectable(value)))),
        (value) => {
          expect(roundTrip(value)).toEqual(value);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('reads what any other writer has written', () => {
    const other = new Packr({ useRecords: false, variableMapSize: true });
    fc.assert(
      fc.property(fc.jsonValue().filter(isHarmless), (json) => {
        const value: unknown = JSON.parse(JSON.stringify(json));
        expect(serializer.decode(other.pack(value))).toEqual(value);
      }),
    );
  });

  it.each<[unknown, string]>([
    [null, 'c0'],
    [undefined, 'c0'],
    [1, '01'],
    [-1, 'ff'],
    [200, 'ccc8'],
    [70_000, 'ce00011170'],
    [1.5, 'cb3ff8000000000000'],
    ['ä', 'a2c3a4'],
    [[1, undefined], '9201c0'],
    [2n ** 64n - 1n, 'cfffffffffffffffff'],
    [new Date(1_000), 'd6ff00000001'],
    [Buffer.of(1, 2), 'c4020102'],
    [new Uint8Array([1, 2]), 'c4020102'],
  ])('writes %p as %s', (value, bytes) => {
    expect(encoded(value)).toBe(bytes);
  });

  it('leaves out undefined, writes a Map of texts as an object, an instance as its fields, and what toJSON gives', () => {
    class Order {
      readonly id = 1;
      readonly note = undefined;
      readonly total = { toJSON: () => '9.99' };
      readonly tags = new Map([['a', 1]]);
    }
    expect(roundTrip(new Order())).toEqual({ id: 1, total: '9.99', tags: { a: 1 } });
    expect(Object.keys(roundTrip({ a: undefined, b: [undefined] }) as object)).toEqual(['b']);
  });

  it('gives integers beyond 2^53 as BigInt, others as numbers', () => {
    expect(decoded('cf 001fffffffffffff')).toBe(Number.MAX_SAFE_INTEGER);
    expect(decoded('cf 0020000000000000')).toBe(2n ** 53n);
    expect(decoded('d3 ffe0000000000001')).toBe(Number.MIN_SAFE_INTEGER);
    expect(decoded('d3 8000000000000000')).toBe(-(2n ** 63n));
    expect(roundTrip(5n)).toBe(5);
    expect(roundTrip(2 ** 60)).toBe(2 ** 60);
  });

  it('gives bytes and dates of its own', () => {
    const body = hex('c4 02 01 02');
    const bytes = serializer.decode(body) as Uint8Array;
    body.fill(0);
    expect([...bytes]).toEqual([1, 2]);
    expect(bytes.buffer.byteLength).toBe(2);
    expect(Buffer.isBuffer(bytes)).toBe(false);
    expect(decoded('d7 ff 0000 0004 0000 0001')).toEqual(new Date(1_000));
    expect(decoded('c7 0c ff 3b9ac9ff ffffffffffffffff')).toEqual(new Date(-1));
  });

  it('gives bodies of their own, which later ones leave as they are', () => {
    const first = serializer.encode({ a: 'x'.repeat(100) });
    const before = Buffer.from(first);
    for (let i = 0; i < 200; i++) serializer.encode({ b: 'y'.repeat(100) });
    expect(before.equals(first)).toBe(true);
  });

  it('leaves the body as it is, and reads only its own part of a shared buffer', () => {
    const shared = Buffer.concat([Buffer.of(0xc1), hex('81 a1 61 01'), Buffer.of(0xc1)]);
    const body = new Uint8Array(shared.buffer, shared.byteOffset + 1, 4);
    expect(serializer.decode(body)).toEqual({ a: 1 });
    expect(Object.keys(body)).toEqual(['0', '1', '2', '3']);
  });

  it('writes again after a failure, and within a toJSON', () => {
    const nested = { toJSON: () => Buffer.from(serializer.encode({ inner: 1 })).toString('hex') };
    expect(roundTrip({ nested, b: 2 })).toEqual({ nested: encoded({ inner: 1 }), b: 2 });
    expect(caught(() => serializer.encode(Symbol('x')))).toBeInstanceOf(ValidationError);
    expect(roundTrip({ a: 1 })).toEqual({ a: 1 });
  });

  it('reads texts of every length, in small and in large bodies', () => {
    for (const unit of ['a', 'ä', '語', '😀']) {
      for (const length of [0, 1, 12, 31, 32, 63, 64, 255, 256, 5_000, 70_000]) {
        const value = { [unit.repeat(Math.min(length, 300))]: unit.repeat(length) };
        expect(roundTrip(value)).toEqual(value);
      }
    }
  });
});

describe('MsgpackSerializer.encode', () => {
  const cycle: Record<string, unknown> = { password: 'c4n4ry' };
  cycle.self = cycle;

  it.each<[string, unknown, RegExp]>([
    ['a cycle', cycle, /cycle/],
    ['a BigInt of more than 64 bits', { n: 2n ** 64n + 12_345n }, /BigInt of more than 64 bits/],
    ['a negative one', { n: -(2n ** 63n) - 1n }, /BigInt of more than 64 bits/],
    ['a BigInt of thousands of bits', { n: 2n ** 9_000n }, /BigInt of more than 64 bits/],
    ['a Set', { s: new Set(['c4n4ry']) }, /a Set/],
    ['an Error', { e: new Error('c4n4ry') }, /an Error/],
    ['a RegExp', { r: /c4n4ry/ }, /a RegExp/],
    ['a Float64Array', { f: structuredClone(new Float64Array(2)) }, /binary data/],
    ['a DataView', { f: new DataView(new ArrayBuffer(3)) }, /binary data/],
    ['an ArrayBuffer', { f: new ArrayBuffer(3) }, /binary data/],
    ['an invalid Date', { d: new Date(Number.NaN) }, /invalid Date/],
    ['a function', { f: () => 'c4n4ry' }, /a function/],
    ['a symbol', { s: Symbol('c4n4ry') }, /cannot be written/],
    ['a Map with numbers as keys', { m: new Map([[1, 'c4n4ry']]) }, /a Map with a key that is no text/],
    ['half a surrogate pair', { a: 'c4n4ry\ud800' }, /surrogate/],
    ['half a surrogate pair in a long text', { a: `c4n4ry${'x'.repeat(100)}\udc00` }, /surrogate/],
    ['half a surrogate pair in a name', { 'c4n4ry\ud800': 1 }, /surrogate/],
    ['__proto__', JSON.parse('{"__proto__":{"c4n4ry":1}}'), /"__proto__"/],
    ['__proto__ in a Map', new Map([['__proto__', 'c4n4ry']]), /"__proto__"/],
    ['constructor.prototype', { constructor: { a: [1], prototype: 'c4n4ry' } }, /"constructor" with a "prototype"/],
  ])('refuses %s, without its values', (_, payload, why) => {
    const error = caught(() => serializer.encode(payload));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ code: 'UNSERIALIZABLE' });
    expect(error.message).toMatch(why);
    expect(inspect(error, { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toMatch(/c4n4ry|12345/);
  });

  it('keeps what a toJSON throws as the cause, out of its own text', () => {
    const payload = {
      toJSON: () => {
        throw new Error('c4n4ry');
      },
    };
    const error = caught(() => serializer.encode(payload));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error.message).not.toContain('c4n4ry');
    expect((error.cause as Error).message).toBe('c4n4ry');
  });

  it('takes names that only look like them', () => {
    for (const value of [
      { constructor: 'Ford' },
      { constructor: { name: 'Ford' } },
      { constructor: [{ prototype: 1 }] },
      { prototype: { a: 1 } },
      { proto: 1, a: { constructor: null, prototype: 2 } },
    ]) {
      expect(roundTrip(value)).toEqual(value);
    }
  });

  it('writes exactly what it would read', () => {
    const name = fc.constantFrom('a', '__proto__', 'constructor', 'prototype');
    const tree = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.integer(),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.array(fc.tuple(name, tie('value')), { maxLength: 3 }).map((entries) => new Map(entries)),
      ),
    })).value;
    const plain = new Packr({ useRecords: false });
    const judge = (run: () => unknown): string => {
      try {
        run();
        return 'taken';
      } catch {
        return 'refused';
      }
    };
    fc.assert(
      fc.property(tree, (value) => {
        const bytes = plain.pack(value);
        expect(judge(() => serializer.encode(value))).toBe(judge(() => serializer.decode(bytes)));
      }),
      { numRuns: 300 },
    );
  });
});

describe('MsgpackSerializer.decode', () => {
  it.each<[string, string, RegExp]>([
    ['nothing', '', /not valid MessagePack/],
    ['trailing bytes', '01 01', /not valid MessagePack/],
    ['the tag that is never used', 'c1', /not valid MessagePack/],
    ['a cut text', 'a5 61 62', /not valid MessagePack/],
    ['a cut number', 'ce 00 01', /not valid MessagePack/],
    ['a cut map', '82 a1 61 01', /not valid MessagePack/],
    ['a cut name', '81 a5 61', /not valid MessagePack/],
    ['a list of 2^32 - 1 items that are not there', 'dd ffffffff 01', /not valid MessagePack/],
    ['a map of 2^32 - 1', 'df ffffffff 01', /not valid MessagePack/],
    ['bytes of 4 GiB', 'c6 ffffffff 01', /not valid MessagePack/],
    ['a text of 4 GiB', 'db ffffffff 01', /not valid MessagePack/],
    ['Latin-1', 'a1 e4', /not valid UTF-8/],
    ['an overlong slash', 'a2 c0 af', /not valid UTF-8/],
    ['a name in Latin-1', '81 a1 e4 01', /not valid UTF-8/],
    ['a number as a key', '81 01 02', /key that is no text/],
    ['bytes as a key', '81 c4 01 61 02', /key that is no text/],
    ['a list as a key', '81 90 02', /key that is no text/],
    ['nil as a key', '81 c0 02', /key that is no text/],
    ['undefined of msgpackr', 'd4 00 00', /extension/],
    ['a record of msgpackr', 'd4 72 40 91 a1 61 01', /extension/],
    ['a record with two bytes', 'd5 72 40 00 91 a1 61 01', /extension/],
    ['a BigInt of msgpackr', 'c7 09 42 010000000000000000', /extension/],
    ['an Error of msgpackr', 'd4 65 00 93 a5 4572726f72 a1 78 c0', /extension/],
    ['a RegExp of msgpackr', 'd4 78 00 92 a1 61 a0', /extension/],
    ['a Set of msgpackr', 'd4 73 00 90', /extension/],
    ['a typed array of msgpackr', 'c7 02 74 01 00', /extension/],
    ['a reference of msgpackr', 'd6 70 00000001', /extension/],
    ['an id of msgpackr', 'd6 69 00000001 90', /extension/],
    ['bundled texts of msgpackr', 'd6 62 00000005 c0', /extension/],
    ['an extension of 16 bytes', `d8 ff ${'00'.repeat(16)}`, /extension/],
    ['an extension of 2^16', `c8 0100 ff ${'00'.repeat(256)}`, /extension/],
    ['a timestamp of 5 bytes', 'c7 05 ff 0000000000', /extension/],
    ['a timestamp beyond all dates', 'c7 0c ff 00000000 7fffffffffffffff', /no date/],
    ['a timestamp with 2^30 nanoseconds', 'd7 ff ffffffff 00000000', /no date/],
    ['__proto__', '81 a9 5f5f70726f746f5f5f 81 a1 61 01', /"__proto__"/],
    ['__proto__ with a longer head', '81 d9 09 5f5f70726f746f5f5f 01', /"__proto__"/],
    [
      'constructor.prototype',
      '81 ab 636f6e7374727563746f72 81 a9 70726f746f74797065 01',
      /"constructor" with a "prototype"/,
    ],
  ])('refuses %s', (_, body, why) => {
    const error = caught(() => decoded(body));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error.message).toMatch(why);
    expect(error.cause).toBeUndefined();
  });

  it('1,000 levels are read and written, 1,001 are not', () => {
    for (const [open, key] of [
      ['91', ''],
      ['81', 'a161'],
    ] as const) {
      const nested = (depth: number): string => `${`${open}${key}`.repeat(depth)}c0`;
      expect(roundTrip(decoded(nested(1_000)))).toEqual(decoded(nested(1_000)));
      expect(caught(() => decoded(nested(1_001))).message).toBe('The body is nested deeper than 1000 levels.');
      expect(caught(() => decoded(nested(200_000))).message).toBe('The body is nested deeper than 1000 levels.');
      const tooDeep = new Packr({ useRecords: false }).unpack(hex(nested(1_001)));
      expect(caught(() => serializer.encode(tooDeep)).message).toMatch(/nested deeper than 1000 levels/);
    }
  });

  it('gives plain data or a DecodeError for any bytes, and changes no prototype', () => {
    const tags = fc.constantFrom(
      0x80,
      0x81,
      0x82,
      0x91,
      0x92,
      0xa1,
      0xa9,
      0xc4,
      0xc7,
      0xd4,
      0xd6,
      0xd9,
      0xdc,
      0xde,
      0x61,
      0xff,
    );
    const near = fc
      .array(fc.oneof(tags, fc.nat({ max: 255 })), { maxLength: 24 })
      .map((bytes) => Uint8Array.from(bytes));
    let values = 0;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), near), (body) => {
        const outcome = outcomeOf(() => serializer.decode(body));
        if (outcome === 'plain data') values++;
        expect(ALLOWED_OUTCOMES).toContain(outcome);
      }),
      { numRuns: 2_000 },
    );
    expect(values).toBeGreaterThan(100);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it('survives every single changed byte of a real event', () => {
    const body = Buffer.from(
      serializer.encode({ id: 1, lines: [{ sku: 'a', price: 9.5 }], at: new Date(0), raw: Buffer.of(1) }),
    );
    for (let at = 0; at < body.byteLength; at++) {
      for (const value of [0, 0x7f, 0x8f, 0xc1, 0xc7, 0xd4, 0xdd, 0xdf, 0xff]) {
        const changed = Buffer.from(body);
        changed[at] = value;
        expect(ALLOWED_OUTCOMES).toContain(outcomeOf(() => serializer.decode(changed)));
      }
    }
  });
});

function inspectable(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item));
}

/** -0 is written as 0, as in JSON. */
function withoutSign(value: number): number {
  return value === 0 ? 0 : value;
}
