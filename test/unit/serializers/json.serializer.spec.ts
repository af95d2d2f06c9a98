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

/** Any JSON, but for the names that are refused, which are made often. */
const harmless = fc.jsonValue().filter((value) => !/"(__proto__|constructor)":/.test(JSON.stringify(value)));

describe('JsonSerializer', () => {
  it('names its content type', () => {
    expect(serializer.contentType).toBe('application/json');
  });

  it('gives back every JSON value', () => {
    fc.assert(
      fc.property(harmless, (value) => {
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

  it('shows nothing of a body that it refuses for what is in it', () => {
    const error = caught(() => decoded('{"password":"c4n4ry","__proto__":{"c4n4ry":1}}'));
    expect(inspect(error, { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toContain('c4n4ry');
  });

  // by RFC 8259: no mark in front (§8.1), no control characters (§7), any escape (§7), numbers of any size (§6)
  it.each<[string, string | Buffer]>([
    ['a byte order mark', '\ufeff{}'],
    ['NUL', '\0'],
    ['NUL behind the value', '{}\0'],
    ['NUL within a text', '"\0"'],
    ['NUL between', '[1,\0 2]'],
    ['a line break within a text', '"\n"'],
    ['half an escape', '"\\u12"'],
    ['a slash as overlong UTF-8', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a surrogate as UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ])('refuses %s', (_, body) => {
    expect(caught(() => serializer.decode(Buffer.from(body)))).toBeInstanceOf(DecodeError);
  });

  it.each<[string, string, unknown]>([
    ['an escaped NUL', '"\\u0000"', '\0'],
    ['a mark within a text', '"\ufeff"', '\ufeff'],
    ['half a surrogate pair as an escape', '"\\ud800"', '\ud800'],
    ['a number that no engine can hold', '1e999', Number.POSITIVE_INFINITY],
    ['the last of two names', '{"a":1,"a":2}', { a: 2 }],
    ['white space', ' \t\r\n1 ', 1],
  ])('reads %s', (_, body, value) => {
    expect(decoded(body)).toEqual(value);
  });
});

/** So deep, of all kinds, with a bracket in a text on the way. */
function nested(depth: number, [open, close]: readonly [string, string]): string {
  return `${open.repeat(depth)}"]}\\"]"${close.repeat(depth)}`;
}

const KINDS: readonly (readonly [string, string])[] = [
  ['[', ']'],
  ['{"a":', '}'],
  [' [ 1 , "[[" , ', ' , "]]" ] '],
];

describe('the depth of JSON', () => {
  it.each(KINDS)('%s…%s: 1,000 levels are read and written, 1,001 are not', (...kind) => {
    const value = decoded(nested(1_000, kind));
    expect(decoded(encoded(value))).toEqual(value);
    expect(caught(() => decoded(nested(1_001, kind)))).toMatchObject({
      name: 'DecodeError',
      message: 'The body is nested deeper than 1000 levels.',
    });
    const error = caught(() => serializer.encode(JSON.parse(nested(1_001, kind))));
    expect(error).toMatchObject({
      name: 'ValidationError',
      code: 'UNSERIALIZABLE',
      message: 'The payload was not published: it is nested deeper than 1000 levels.',
    });
  });

  it.each([200_000, 500_000])('%d levels end in a DecodeError, not in the stack', (depth) => {
    for (const body of ['['.repeat(depth), `${'['.repeat(depth)}${']'.repeat(depth)}`, '{"a":'.repeat(depth)]) {
      expect(caught(() => decoded(body))).toBeInstanceOf(DecodeError);
    }
  });

  it('is not the number of arrays and objects, and not what stands in texts', () => {
    const wide = JSON.stringify(Array.from({ length: 5_000 }, (_, i) => ({ lines: [{ i }] })));
    expect(decoded(wide)).toHaveLength(5_000);
    const texts = ['['.repeat(5_000), '\\"'.repeat(2_000), '{"a":'.repeat(2_000), '\\', '"'];
    expect(decoded(encoded(texts))).toEqual(texts);
  });

  it('is found for any JSON', () => {
    const depthOf = (value: unknown): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
    const filler = `"${'x'.repeat(2_000)}"`;
    const deep = fc.tuple(fc.integer({ min: 990, max: 1_010 }), harmless, fc.constantFrom(...KINDS));
    fc.assert(
      fc.property(deep, ([depth, inner, [open, close]]) => {
        const json = `[${filler},${open.repeat(depth)}${JSON.stringify(inner)}${close.repeat(depth)}]`;
        const isDeep = depthOf(JSON.parse(json)) > 1_000;
        expect(outcomeOf(() => decoded(json))).toBe(isDeep ? 'DecodeError' : 'value');
      }),
    );
  });
});

describe('names that could change a prototype', () => {
  const refused = [
    '{"__proto__":1}',
    '{"__proto__":{"admin":true}}',
    '[[{"a":{"__proto__":null}}]]',
    String.raw`{"\u005f_proto__":1}`,
    String.raw`{"__\u0070roto__":1}`,
    String.raw`{"__prot\u006f__":1}`,
    String.raw`{"\u005F\u005f\u0070\u0072\u006f\u0074\u006F\u005f\u005f":1}`,
    '{"a":1,"constructor":{"prototype":{"admin":true}}}',
    '{"constructor":{"prototype":1}}',
    String.raw`{"\u0063onstructor":{"\u0070rototype":1}}`,
    String.raw`{"constructo\u0072":{"prototyp\u0065":1}}`,
    '{"a":1,"a":{"__proto__":1}}',
  ];

  it.each(refused)('%s is refused, both ways', (json) => {
    expect(caught(() => decoded(json))).toMatchObject({
      name: 'DecodeError',
      message: 'The body has a property "__proto__", or "constructor" with a "prototype" in it.',
    });
    expect(caught(() => serializer.encode(JSON.parse(json)))).toMatchObject({
      name: 'ValidationError',
      code: 'UNSERIALIZABLE',
    });
  });

  it.each([
    '"__proto__"',
    '["__proto__","constructor","prototype"]',
    '{"a":"__proto__"}',
    '{"constructor":"Ford"}',
    '{"constructor":null}',
    '{"constructor":{"name":"Ford"}}',
    '{"constructor":["prototype"]}',
    '{"prototype":{"a":1}}',
    '{"proto":1,"__proto":2,"toString":3}',
    String.raw`{"a":"\u005f_proto__ \u0070"}`,
    // the last of two names counts
    '{"constructor":{"prototype":1},"constructor":2}',
  ])('%s is not, either way', (json) => {
    const value: unknown = JSON.parse(json);
    expect(decoded(json)).toEqual(value);
    expect(decoded(encoded(value))).toEqual(value);
  });

  it('are looked for at any place, however they are written', () => {
    const escaped = (text: string, seed: number): string =>
      Array.from(text)
        .map((letter, i) =>
          (seed >> i) % 2 === 0 ? letter : `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
        )
        .join('');
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(), fc.nat({ max: 999 }), (inner, seed, depth) => {
        const bad = `{"${escaped('__proto__', seed)}":${JSON.stringify(inner)}}`;
        expect(outcomeOf(() => decoded(`${'['.repeat(depth)}${bad}${']'.repeat(depth)}`))).toBe('DecodeError');
      }),
    );
  });

  it('leave every prototype as it is', () => {
    for (const json of refused) caught(() => Object.assign({}, decoded(json)));
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });
});

function outcomeOf(read: () => unknown): string {
  try {
    read();
    return 'value';
  } catch (error) {
    return (error as Error).name;
  }
}
