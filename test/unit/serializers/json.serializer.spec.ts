import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { caught } from '../support/caught.js';

const serializer = new JsonSerializer();
const encoded = (payload: unknown): string => Buffer.from(serializer.encode(payload)).toString();
const decoded = (text: string): unknown => serializer.decode(Buffer.from(text));
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('JsonSerializer', () => {
  it('names its content type', () => {
    expect(serializer.contentType).toBe('application/json');
  });

  it('gives back every JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const json = JSON.stringify(value);
        expect(encoded(value)).toBe(json);
        expect(JSON.stringify(decoded(json))).toBe(json);
      }),
    );
  });

  it('gives back every text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(serializer.decode(serializer.encode(text))).toBe(text);
      }),
    );
    expect(serializer.decode(serializer.encode('\ud800'))).toBe('\ud800');
  });
});

describe('JsonSerializer.encode', () => {
  it.each<[unknown, string]>([
    [undefined, 'null'],
    [null, 'null'],
    [0, '0'],
    ['', '""'],
    [false, 'false'],
    [[], '[]'],
    [{ a: 'größe' }, '{"a":"größe"}'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [{ a: undefined, b: 1 }, '{"b":1}'],
  ])('writes %p as %s', (payload, expected) => {
    expect(encoded(payload)).toBe(expected);
  });

  it('gives bytes in UTF-8', () => {
    expect(Uint8Array.from(serializer.encode('é'))).toEqual(bytes(0x22, 0xc3, 0xa9, 0x22));
  });

  it('gives bytes of its own each time', () => {
    const payload = { n: 1 };
    const first = serializer.encode(payload);
    payload.n = 2;
    const second = serializer.encode(payload);
    expect(Buffer.from(first).toString()).toBe('{"n":1}');
    expect(Buffer.from(second).toString()).toBe('{"n":2}');
  });

  const cycle: Record<string, unknown> = { password: 'c4n4ry' };
  cycle.self = cycle;

  it.each<[string, unknown, RegExp]>([
    ['a BigInt', 1n, /BigInt/],
    ['a BigInt inside', { password: 'c4n4ry', n: [{ m: 12_345_678_901n }] }, /BigInt/],
    ['a cycle', cycle, /cannot be written as JSON/],
    ['a function', () => 'c4n4ry', /a function cannot be written as JSON/],
    ['a class', class {}, /a function cannot be written as JSON/],
    ['a symbol', Symbol('c4n4ry'), /a symbol cannot be written as JSON/],
    ['a toJSON without a value', { password: 'c4n4ry', toJSON: () => undefined }, /cannot be written as JSON/],
  ])('refuses %s, without its values', (_, payload, text) => {
    const error = caught(() => serializer.encode(payload));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ code: 'UNSERIALIZABLE', retryable: false });
    expect(error.message).toMatch(text);
    expect(inspect(error, { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toMatch(/c4n4ry|12345678901/);
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

  it('tells a cycle through a property named BigInt from a BigInt', () => {
    const payload: Record<string, unknown> = {};
    payload.BigInt = payload;
    expect(caught(() => serializer.encode(payload)).message).not.toContain('it holds a BigInt');
  });

  it('refuses what is nested too deep for the engine', () => {
    let payload: unknown = 1;
    for (let i = 0; i < 100_000; i++) payload = [payload];
    expect(caught(() => serializer.encode(payload))).toBeInstanceOf(ValidationError);
  });
});

describe('JsonSerializer.decode', () => {
  it.each<[string, Uint8Array]>([
    ['no UTF-8 at all', bytes(0xff)],
    ['a cut character', bytes(0x22, 0xc3)],
    ['a cut character inside', bytes(0x22, 0xc3, 0x22)],
    ['a lone continuation', bytes(0x22, 0x80, 0x22)],
    ['an overlong form', bytes(0x22, 0xc0, 0xaf, 0x22)],
    ['half a surrogate pair', bytes(0x22, 0xed, 0xa0, 0x80, 0x22)],
    ['beyond Unicode', bytes(0x22, 0xf4, 0x90, 0x80, 0x80, 0x22)],
    ['Latin-1', Buffer.from('"größe"', 'latin1')],
    ['UTF-16', Buffer.from('\ufeff{"a":1}', 'utf16le')],
  ])('refuses %s', (_, body) => {
    const error = caught(() => serializer.decode(body));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error).toMatchObject({ code: 'UNDECODABLE', retryable: false });
    expect(error.message).toBe(`The body is not valid UTF-8 (${body.byteLength} bytes).`);
  });

  it.each([
    '',
    ' ',
    '{',
    '{"password":"c4n4ry"',
    'c4n4ry',
    '"c4n4ry',
    '{"a":c4n4ry}',
    '{"a":1,}',
    "{'a':'c4n4ry'}",
    '[1,2',
    'undefined',
    'NaN',
    '{}c4n4ry',
    '01',
  ])('refuses %j, and shows nothing of it', (body) => {
    const error = caught(() => decoded(body));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error).toMatchObject({ code: 'UNDECODABLE', retryable: false });
    expect(error.message).toBe(`The body is not valid JSON (${body.length} bytes).`);
    expect(error.cause).toBeUndefined();
    expect(inspect(error, { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toContain('c4n4ry');
  });

  it('shows nothing of a body that is not UTF-8', () => {
    const body = Buffer.concat([Buffer.from('{"password":"c4n4ry'), bytes(0xff)]);
    expect(inspect(caught(() => serializer.decode(body)))).not.toContain('c4n4ry');
  });

  it('gives a value or a DecodeError for any bytes, nothing else', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const outcome = (decode: () => unknown, refused: (error: unknown) => boolean): string => {
      try {
        return `value ${JSON.stringify(decode())}`;
      } catch (error) {
        return refused(error) ? 'refused' : `another error: ${String(error)}`;
      }
    };
    const near = fc.array(fc.constantFrom(0x22, 0x31, 0x5b, 0x5d, 0x20, 0x2c, 0xc3, 0xa9, 0xff), { maxLength: 6 });
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      near.map((each) => Uint8Array.from(each)),
    );
    let values = 0;
    fc.assert(
      fc.property(any, (body) => {
        const expected = outcome(
          () => JSON.parse(strict.decode(body)),
          () => true,
        );
        if (expected !== 'refused') values++;
        expect(
          outcome(
            () => serializer.decode(body),
            (error) => error instanceof DecodeError,
          ),
        ).toBe(expected);
      }),
      { numRuns: 1_000 },
    );
    expect(values).toBeGreaterThan(0);
  });

  it('reads only its own part of a shared buffer', () => {
    const shared = Buffer.from('xx{"a":1}yy');
    expect(serializer.decode(shared.subarray(2, 9))).toEqual({ a: 1 });
    const view = new Uint8Array(shared.buffer, shared.byteOffset + 2, 7);
    expect(serializer.decode(view)).toEqual({ a: 1 });
  });

  it('leaves the body as it is', () => {
    const body = Buffer.from('{"a":"é"}');
    const before = Buffer.from(body);
    serializer.decode(body);
    expect(body.equals(before)).toBe(true);
  });

  it('cannot be made to change a prototype', () => {
    const payload = decoded('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"a":1}') as Record<
      string,
      unknown
    >;
    expect(payload.a).toBe(1);
    expect(payload.admin).toBeUndefined();
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
    expect(Object.getPrototypeOf(payload)).toBe(Object.prototype);
  });

  it('survives a body that is nested very deep', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const read = (): unknown => decoded(deep);
    let outcome: unknown;
    try {
      outcome = Array.isArray(read());
    } catch (error) {
      outcome = error instanceof DecodeError;
    }
    expect(outcome).toBe(true);
  });
});
