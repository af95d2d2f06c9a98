import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { type ProtobufOptions, ProtobufSerializer } from '../../../lib/serializers/protobuf.serializer.js';
import { caught } from '../support/caught.js';
import { aMessage } from '../support/message.js';
import { ALLOWED_OUTCOMES, outcomeOf } from '../support/plain.js';

const SOURCE = `
syntax = "proto3";
package acme;
enum Kind { UNKNOWN = 0; GIFT = 1; }
message Line { string sku = 1; uint32 quantity = 2; }
message OrderPlaced {
  string order_id = 1;
  int64 total = 2;
  uint64 serial = 3;
  bytes raw = 4;
  Kind kind = 5;
  repeated Line lines = 6;
  map<string, int32> counts = 7;
  map<int64, string> names = 8;
  Line first = 9;
  optional string note = 10;
  oneof payment { string card = 11; int32 cash = 12; }
  double weight = 13;
  bool express = 14;
  sint32 delta = 15;
  repeated int64 ids = 16;
  map<bool, Kind> kinds = 17;
}
message Empty {}
message Deep { Deep inner = 1; }
`;
const serializer = await ProtobufSerializer.load({
  source: SOURCE,
  types: {
    'orders.placed': 'acme.OrderPlaced',
    OrderPlaced: 'acme.OrderPlaced',
    deep: 'acme.Deep',
    empty: 'acme.Empty',
  },
});
const head = aMessage({ topic: 'orders.placed' });
const roundTrip = (payload: unknown): unknown => serializer.decode(serializer.encode(payload, head), head);
const DEFAULTS = {
  orderId: '',
  total: 0n,
  serial: 0n,
  raw: new Uint8Array(0),
  kind: 'UNKNOWN',
  lines: [],
  counts: {},
  names: {},
  weight: 0,
  express: false,
  delta: 0,
  ids: [],
  kinds: {},
};

const safe = fc.string({ unit: 'grapheme' });
const line = fc.record({ sku: safe, quantity: fc.nat() });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const key = safe.filter((name) => name !== '__proto__');
const order = fc.record(
  {
    orderId: safe,
    total: int64,
    serial: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    raw: fc.uint8Array(),
    kind: fc.constantFrom('UNKNOWN', 'GIFT', 7),
    lines: fc.array(line),
    counts: fc.dictionary(key, fc.integer(), { noNullPrototype: true }),
    names: fc.dictionary(int64.map(String), safe, { noNullPrototype: true }),
    first: line,
    note: safe,
    cash: fc.integer(),
    weight: fc.double().map((value) => (value === 0 ? 0 : value)),
    express: fc.boolean(),
    delta: fc.integer(),
    ids: fc.array(int64),
    kinds: fc.dictionary(fc.constantFrom('true', 'false'), fc.constantFrom('UNKNOWN', 'GIFT'), {
      noNullPrototype: true,
    }),
  },
  { requiredKeys: [], noNullPrototype: true },
);

describe('ProtobufSerializer', () => {
  it('names its content type as registered', () => {
    expect(serializer.contentType).toBe('application/protobuf');
    expect(serializer.contentTypeAliases).toContain('application/x-protobuf');
  });

  it('gives back every message, with defaults for what is not there', () => {
    fc.assert(
      fc.property(order, (payload) => {
        expect(roundTrip(payload)).toEqual({ ...DEFAULTS, ...payload });
      }),
    );
  });

  it('leaves absent what has presence, and takes null and undefined for it', () => {
    expect(roundTrip({})).toEqual(DEFAULTS);
    expect(roundTrip({ note: null, first: undefined, orderId: undefined })).toEqual(DEFAULTS);
    expect(roundTrip({ note: '', card: '' })).toEqual({ ...DEFAULTS, note: '', card: '' });
  });

  it('writes what others read, and reads what others write', () => {
    const type = protobuf.parse(SOURCE).root.lookupType('acme.OrderPlaced');
    const bytes = serializer.encode({ orderId: 'o-1', total: -5n, kind: 'GIFT', names: { '-7': 'a' } }, head);
    expect(type.toObject(type.decode(bytes), { longs: String, enums: String })).toEqual({
      orderId: 'o-1',
      total: '-5',
      kind: 'GIFT',
      names: { '-7': 'a' },
    });
    const written = type.encode(type.fromObject({ orderId: 'o-2', kind: 1, ids: ['9007199254740993'] })).finish();
    expect(serializer.decode(written, head)).toEqual({
      ...DEFAULTS,
      orderId: 'o-2',
      kind: 'GIFT',
      ids: [9007199254740993n],
    });
  });

  it('takes 64-bit integers in three forms, and gives them in the one asked for', async () => {
    for (const total of [12, 12n, '12']) expect(roundTrip({ total })).toMatchObject({ total: 12n });
    const bytes = serializer.encode({ total: 2n ** 62n, ids: [-1n], names: { 5: 'a' } }, head);
    for (const [form, total, id] of [
      ['string', '4611686018427387904', '-1'],
      ['number', 2 ** 62, -1],
    ] as const) {
      const other = await ProtobufSerializer.load({
        source: SOURCE,
        types: { 'orders.placed': 'acme.OrderPlaced' },
        int64: form,
      });
      expect(other.decode(bytes, head)).toMatchObject({ total, ids: [id], names: { 5: 'a' } });
    }
  });

  it('takes a Map, an instance and a Buffer', () => {
    class Line {
      constructor(
        readonly sku: string,
        readonly quantity: number,
      ) {}
    }
    const names = new Map([[5n, 'a']]);
    expect(roundTrip({ names, first: new Line('a', 1), raw: Buffer.of(1) })).toMatchObject({
      names: { 5: 'a' },
      first: { sku: 'a', quantity: 1 },
      raw: new Uint8Array([1]),
    });
  });

  it('gives bytes of its own', () => {
    const body = Buffer.from(serializer.encode({ raw: Buffer.of(1, 2) }, head));
    const { raw } = serializer.decode(body, head) as { readonly raw: Uint8Array };
    body.fill(0);
    expect([...raw]).toEqual([1, 2]);
  });

  it('chooses the message by the type, else by the topic', () => {
    const typed = aMessage({ topic: 'anything', type: 'OrderPlaced' });
    expect(serializer.decode(serializer.encode({ orderId: 'a' }, typed), typed)).toMatchObject({ orderId: 'a' });
    const other = aMessage({ topic: 'orders.placed', type: 'c4n4ry' });
    expect(caught(() => serializer.encode({}, other))).toMatchObject({
      name: 'ValidationError',
      code: 'UNSERIALIZABLE',
    });
    const error = caught(() => serializer.decode(Buffer.of(), other));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error.message).not.toContain('c4n4ry');
    for (const type of ['constructor', '__proto__', 'acme.OrderPlaced', '.acme.OrderPlaced'])
      expect(caught(() => serializer.decode(Buffer.of(), aMessage({ type })))).toBeInstanceOf(DecodeError);
  });

  it.each<[string, unknown, string]>([
    ['another field', { c4n4ry: 1 }, 'c4n4ry: is no field of the schema'],
    ['a method of every object', { constructor: 1 }, 'constructor: is no field of the schema'],
    ['a text for a number', { total: 'c4n4ry' }, 'total: must be a int64'],
    ['a fraction', { lines: [{ quantity: 1.5 }] }, 'lines[0].quantity: must be a whole number'],
    [
      'a negative number',
      { lines: [{ sku: 'a' }, { quantity: -1 }] },
      'lines[1].quantity: must be a whole number from 0',
    ],
    ['a number beyond 64 bits', { serial: 2n ** 64n }, 'serial: must be a uint64'],
    ['a negative serial', { serial: -1 }, 'serial: must be a uint64'],
    ['a number that is not exact', { total: 2 ** 60 }, 'total: must be a int64'],
    ['a number for a text', { orderId: 5 }, 'orderId: must be a string'],
    ['half a surrogate pair', { orderId: '\ud800' }, 'orderId: must be a string'],
    ['a text for bytes', { raw: 'c4n4ry' }, 'raw: must be a Uint8Array'],
    ['a number for a boolean', { express: 1 }, 'express: must be true or false'],
    ['an unknown kind', { kind: 'c4n4ry' }, 'kind: must be one of UNKNOWN, GIFT'],
    ['no list', { lines: {} }, 'lines: must be an array'],
    ['a list for a message', { first: [] }, 'first: must be an object'],
    ['no object', { counts: 5 }, 'counts: must be an object or a Map'],
    ['a key that is no number', { names: { c4n4ry: 'a' } }, 'names: has a key that is no int64'],
    ['two of one', { card: 'c4n4ry', cash: 1 }, 'payment: can be only one of its fields'],
    ['no object at all', 'c4n4ry', 'must be an object'],
  ])('refuses %s, without its value', (_, payload, issue) => {
    const error = caught(() => serializer.encode(payload, head)) as ValidationError;
    expect(error).toBeInstanceOf(ValidationError);
    expect(error.issues).toEqual([expect.stringContaining(issue)]);
    expect(error.message).toContain('it is no acme.OrderPlaced');
    expect(error.message.replace(issue, '')).not.toContain('c4n4ry');
  });

  it('refuses __proto__ as a key, both ways', () => {
    const counts = JSON.parse('{"__proto__":1}') as object;
    expect(caught(() => serializer.encode({ counts }, head))).toBeInstanceOf(ValidationError);
    const body = Buffer.concat([Buffer.of(0x3a, 13, 0x0a, 9), Buffer.from('__proto__'), Buffer.of(0x10, 1)]);
    expect(caught(() => serializer.decode(body, head)).message).toMatch(/__proto__/);
  });

  it('stops cycles and deep messages, both ways', () => {
    const deep = aMessage({ topic: 'deep' });
    const cycle: Record<string, unknown> = {};
    cycle.inner = cycle;
    expect(caught(() => serializer.encode(cycle, deep))).toBeInstanceOf(ValidationError);
    let body = Buffer.of();
    for (let i = 0; i < 150; i++) {
      const size = body.byteLength < 128 ? [body.byteLength] : [(body.byteLength & 0x7f) | 0x80, body.byteLength >> 7];
      body = Buffer.concat([Buffer.of(0x0a, ...size), body]);
    }
    expect(caught(() => serializer.decode(body, deep))).toBeInstanceOf(DecodeError);
    let nested: object = {};
    for (let i = 0; i < 90; i++) nested = { inner: nested };
    expect(serializer.decode(serializer.encode(nested, deep), deep)).toEqual(nested);
  });

  it('gives plain data or a DecodeError for any bytes', () => {
    const body = Buffer.from(
      serializer.encode({ orderId: 'a', lines: [{ sku: 'b' }], names: { 1: 'c' }, ids: [1] }, head),
    );
    const changed = fc.tuple(fc.nat({ max: body.byteLength - 1 }), fc.nat({ max: 255 })).map(([at, byte]) => {
      const copy = Buffer.from(body);
      copy[at] = byte;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), changed), (bytes) => {
        expect(ALLOWED_OUTCOMES).toContain(outcomeOf(() => serializer.decode(bytes, head)));
      }),
      { numRuns: 500 },
    );
  });
});

describe('ProtobufSerializer.load', () => {
  const refused = async (options: object): Promise<string> => {
    const error = await ProtobufSerializer.load(options as ProtobufOptions).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code: 'CONFIGURATION' });
    return (error as Error).message;
  };

  it('reads files with what they import, a Root and a descriptor; names messages by themselves without types', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'protobuf-'));
    try {
      writeFileSync(join(folder, 'line.proto'), 'syntax = "proto3"; package a; message Line { string sku = 1; }');
      writeFileSync(
        join(folder, 'order.proto'),
        'syntax = "proto3"; package a; import "line.proto"; message Order { Line line = 1; message Part { int32 n = 1; } }',
      );
      const files = join(folder, 'order.proto');
      const { root } = protobuf.parse(SOURCE);
      for (const [options, type, payload] of [
        [{ files }, 'a.Order', { line: { sku: 'x' } }],
        [{ files: [files] }, 'a.Order.Part', { n: 1 }],
        [{ root }, 'acme.Line', { sku: 'x', quantity: 1 }],
        [{ root: root.toJSON() }, 'acme.Line', { sku: 'x', quantity: 1 }],
      ] as const) {
        const one = await ProtobufSerializer.load(options);
        const message = aMessage({ type });
        expect(one.decode(one.encode(payload, message), message)).toEqual(payload);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.each<[string, object, RegExp]>([
    ['no schema', {}, /one of files, source and root/],
    ['two schemas', { source: SOURCE, files: 'a.proto' }, /one of files, source and root/],
    ['a file that is not there', { files: '/nowhere/a.proto' }, /schema cannot be read/],
    ['a schema that is none', { source: 'message {' }, /schema cannot be read/],
    [
      'a message that is not there',
      { source: SOURCE, types: { a: 'acme.Nothing', b: 'acme.Line' } },
      /types\["a"\] names acme\.Nothing/,
    ],
    ['an enum as a message', { source: SOURCE, types: { a: 'acme.Kind' } }, /which the schema does not have/],
    ['an unknown form', { source: SOURCE, int64: 'float' }, /protobuf\.int64/],
    ['an unknown option', { sources: SOURCE }, /Did you mean "source"/],
  ])('refuses %s', async (_, options, problem) => {
    expect(await refused(options)).toMatch(problem);
  });
});

describe('a body that would become much more than it is', () => {
  const MIB = 1_048_576;
  const repeated = (...bytes: number[]): Buffer => Buffer.alloc(MIB - (MIB % bytes.length), Buffer.from(bytes));
  const sized = (field: number, content: Uint8Array): Uint8Array =>
    protobuf.Writer.create()
      .uint32((field << 3) | 2)
      .bytes(content)
      .finish();

  it.each<[string, Uint8Array]>([
    ['empty messages', repeated(0x32, 0)],
    ['empty messages that are one in the end', repeated(0x4a, 0)],
    ['entries of a map', repeated(0x3a, 0)],
    ['entries with 64-bit keys', repeated(0x42, 2, 0x08, 1)],
    ['packed 64-bit integers', sized(0x10, Buffer.alloc(MIB - 10, 1))],
  ])('is refused before anything is made of it: %s', (_, body) => {
    const before = process.cpuUsage();
    expect(caught(() => serializer.decode(body, head))).toBeInstanceOf(DecodeError);
    expect(caught(() => serializer.decode(body, head)).message).toMatch(/or has more values than it may/);
    // both together; it took more than a second
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
  });

  it('is read when it is large as payloads are', () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => ({ sku: `sku-${index}`, quantity: index }));
    const ids = Array.from({ length: 50_000 }, (_, index) => BigInt(index));
    const names = Object.fromEntries(ids.slice(0, 5_000).map((id) => [String(id), 'x']));
    expect(roundTrip({ lines, ids, names })).toEqual({ ...DEFAULTS, lines, ids, names });
  });

  it.each([0n, 1n, -1n, 2n ** 32n, -(2n ** 32n), 2n ** 53n, -(2n ** 53n), 2n ** 53n - 1n, 2n ** 62n, -(2n ** 63n)])(
    '%d is exact',
    (total) => {
      expect(roundTrip({ total, serial: BigInt.asUintN(64, total) })).toMatchObject({
        total,
        serial: BigInt.asUintN(64, total),
      });
    },
  );
});
