import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError, MessageTooLargeError } from '../../../lib/core/errors.js';
import {
  areHeadersCut,
  INTERNAL_PREFIX,
  isHeaderValue,
  isReservedHeader,
  NO_HEADERS,
  readHeaders,
  toHeaders,
} from '../../../lib/core/headers.js';
import { LIMITS } from '../../../lib/core/limits.js';
import { caught } from '../support/caught.js';

const RESERVED = [
  'eb-id',
  'eb-',
  'EB-Attempt',
  'x-death',
  'x-match',
  'X-Delivery-Count',
  'x-',
  'CC',
  'cc',
  'BCC',
  'Bcc',
  '__proto__',
  '__PROTO__',
  'constructor',
  'prototype',
];
const FREE = [
  'traceparent',
  'eb',
  'ebx-a',
  'x',
  'xx-a',
  'ccc',
  'c-c',
  'a.x-b',
  'tenant',
  'proto',
  '__proto',
  'toString',
  'größe',
  '€',
];

/** Own properties only, `__proto__` included: an object literal could not hold it. */
const parsed = (json: string): Record<string, unknown> => JSON.parse(json) as Record<string, unknown>;

const headerValue = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
);
const freeName = fc
  .string({ minLength: 1, maxLength: 20 })
  .filter((name) => !/^(eb-|x-|b?cc$|__proto__$|constructor$|prototype$)/i.test(name));

describe('isReservedHeader', () => {
  it.each(RESERVED)('reserves %s', (name) => {
    expect(isReservedHeader(name)).toBe(true);
  });

  it.each(FREE)('leaves %s to the user', (name) => {
    expect(isReservedHeader(name)).toBe(false);
  });

  it('reserves the prefix of the bus, in any case', () => {
    fc.assert(
      fc.property(fc.constantFrom('eb-', 'x-', 'Eb-', 'eB-', 'X-', INTERNAL_PREFIX), fc.string(), (prefix, rest) => {
        expect(isReservedHeader(prefix + rest)).toBe(true);
      }),
    );
  });
});

describe('isHeaderValue', () => {
  it.each(['', 'x', true, false, 0, -1, 1.5, Number.MAX_VALUE])('accepts %p', (value) => {
    expect(isHeaderValue(value)).toBe(true);
  });

  it.each([
    undefined,
    null,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    1n,
    Symbol('s'),
    {},
    [],
    new Date(0),
    new Map(),
    Buffer.from('x'),
    Object('boxed'),
    () => 1,
  ])('refuses %p', (value) => {
    expect(isHeaderValue(value)).toBe(false);
  });
});

describe('toHeaders', () => {
  it('takes texts as they arrive from a broker: halves of surrogate pairs are replaced', () => {
    expect({ ...toHeaders({ a: 'x\ud800', b: '😀', c: '\udc00\ud800y' }) }).toEqual({
      a: 'x\ufffd',
      b: '😀',
      c: '\ufffd\ufffdy',
    });
    const error = caught(() => toHeaders({ 'x\ud800': 1 }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(/surrogate pair/);
  });

  // as a user without TypeScript might
  it.each<[string, unknown]>([
    ['a text', 'region=eu'],
    ['null', null],
    ['an array', ['eu']],
    ['a Map, whose entries would get lost', new Map([['region', 'eu']])],
  ])('refuses %s', (_, raw) => {
    const error = caught(() => toHeaders(raw as Record<string, unknown>));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(/^headers must be an object/);
  });

  it('keeps names, values and their types', () => {
    const headers = toHeaders({ a: 'x', b: 1, c: true, d: '', e: 0, f: false });
    expect(Object.entries(headers)).toEqual([
      ['a', 'x'],
      ['b', 1],
      ['c', true],
      ['d', ''],
      ['e', 0],
      ['f', false],
    ]);
  });

  it('is a copy', () => {
    const raw: Record<string, unknown> = { a: 1 };
    const headers = toHeaders(raw);
    raw.a = 2;
    raw.b = 3;
    expect({ ...headers }).toEqual({ a: 1 });
  });

  it('is frozen and has no prototype', () => {
    const headers = toHeaders({ a: 1 });
    expect(Object.isFrozen(headers)).toBe(true);
    expect(Object.getPrototypeOf(headers)).toBeNull();
  });

  it('is frozen and has no prototype when there is nothing', () => {
    for (const headers of [toHeaders(undefined), toHeaders({}), NO_HEADERS]) {
      expect(Object.isFrozen(headers)).toBe(true);
      expect(Object.getPrototypeOf(headers)).toBeNull();
      expect(Object.keys(headers)).toEqual([]);
    }
  });

  it('leaves out what is undefined', () => {
    expect(Object.keys(toHeaders({ a: undefined, b: 1 }))).toEqual(['b']);
  });

  it('keeps every allowed header, unchanged', () => {
    fc.assert(
      fc.property(fc.dictionary(freeName, headerValue, { maxKeys: 10 }), (raw) => {
        const headers = toHeaders(raw);
        expect(Object.keys(headers)).toEqual(Object.keys(raw));
        for (const name of Object.keys(raw)) expect(Object.is(headers[name], raw[name])).toBe(true);
      }),
    );
  });

  it.each(RESERVED)('refuses %s by name, without its value', (name) => {
    const error = caught(() => toHeaders(parsed(`{"ok":1,"${name}":"c4n4ry"}`)));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(`"${name}"`);
    expect(error.message).not.toContain('c4n4ry');
  });

  it.each([
    ['null', null],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['a bigint', 1n],
    ['a symbol', Symbol('c4n4ry')],
    ['an object', { password: 'c4n4ry' }],
    ['amqplib syntax', { '!': 'c4n4ry' }],
    ['an array', ['c4n4ry']],
    ['a Date', new Date(0)],
    ['a Map', new Map([['c4n4ry', 1]])],
    ['a Buffer', Buffer.from('c4n4ry')],
    ['a function', () => 'c4n4ry'],
  ])('refuses %s by the name of its header, without the value', (_, value) => {
    const error = caught(() => toHeaders({ tenant: value }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('"tenant"');
    expect(error.message).not.toContain('c4n4ry');
  });

  it('changes no prototype, whatever it is given', () => {
    caught(() => toHeaders(parsed('{"__proto__":{"admin":true}}')));
    caught(() => toHeaders(parsed('{"constructor":{"prototype":{"admin":true}}}')));
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('takes no inherited headers', () => {
    expect(Object.keys(toHeaders(Object.create({ admin: true }) as Record<string, unknown>))).toEqual([]);
  });

  describe('limits', () => {
    const many = (count: number): Record<string, number> =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, i]));

    it('carries 128 headers, not 129', () => {
      expect(LIMITS.headerCount).toBe(128);
      expect(Object.keys(toHeaders(many(128)))).toHaveLength(128);
      const error = caught(() => toHeaders(many(129)));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/128.*129/);
    });

    it('does not count what is undefined', () => {
      expect(Object.keys(toHeaders({ ...many(128), more: undefined }))).toHaveLength(128);
    });

    it.each([
      ['128 letters', 'n'.repeat(128)],
      ['128 bytes', 'é'.repeat(64)],
      ['one letter', 'n'],
    ])('carries a name of %s', (_, name) => {
      expect(toHeaders({ [name]: 1 })[name]).toBe(1);
    });

    it.each([
      ['nothing', ''],
      ['129 letters', 'n'.repeat(129)],
      ['130 bytes', 'é'.repeat(65)],
    ])('refuses a name of %s', (_, name) => {
      const error = caught(() => toHeaders({ [name]: 1 }));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toBe('Header names have 1 to 128 bytes.');
    });

    it('counts bytes of names and texts', () => {
      expect(LIMITS.headerBytes).toBe(16_384);
      expect(toHeaders({ n: 'v'.repeat(16_383) }).n).toHaveLength(16_383);
      expect(caught(() => toHeaders({ n: 'v'.repeat(16_384) }))).toBeInstanceOf(MessageTooLargeError);
      expect(caught(() => toHeaders({ nn: 'v'.repeat(16_383) }))).toBeInstanceOf(MessageTooLargeError);
      expect(toHeaders({ n: `${'é'.repeat(8_191)}v` }).n).toHaveLength(8_192);
      expect(caught(() => toHeaders({ n: 'é'.repeat(8_192) }))).toBeInstanceOf(MessageTooLargeError);
    });

    it('counts 8 bytes for a number or a boolean', () => {
      expect(Object.keys(toHeaders({ n: 'v'.repeat(16_383 - 18), a: 1, b: true }))).toHaveLength(3);
      expect(caught(() => toHeaders({ n: 'v'.repeat(16_383 - 17), a: 1, b: true }))).toBeInstanceOf(
        MessageTooLargeError,
      );
    });

    it('adds all headers up, and says how many bytes they are', () => {
      const raw = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`h${100 + i}`, 'c4n4ry'.repeat(30)]));
      const error = caught(() => toHeaders(raw));
      expect(error).toBeInstanceOf(MessageTooLargeError);
      expect(error.message).toContain('18400 bytes');
      expect(error.message).not.toContain('c4n4ry');
    });
  });
});

describe('readHeaders', () => {
  it.each<[string, Record<string, unknown>, readonly string[]]>([
    ['as many bytes as can be sent', { n: 'v'.repeat(16_383), 'x-death': 'v'.repeat(50_000) }, ['n']],
    ['one byte more', { a: 1, n: 'v'.repeat(16_375) }, ['a']],
    ['a name of 255 bytes', { ['n'.repeat(255)]: 1 }, ['n'.repeat(255)]],
    ['a name of 256 bytes', { a: 1, [`${'é'.repeat(128)}`]: 1 }, ['a']],
    ['numbers and booleans of 8 bytes', { n: 'v'.repeat(16_366), a: 1, b: true }, ['n', 'a']],
  ])('gives what can be sent again: %s', (_, raw, names) => {
    expect(Object.keys(readHeaders(raw))).toEqual(names);
    const visible = Object.keys(raw).filter((name) => !isReservedHeader(name));
    expect(areHeadersCut(raw)).toBe(names.length < visible.length);
  });

  it.each([127, 128, 129, 500])('of %d headers gives at most 128', (count) => {
    const raw = Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, i]));
    expect(Object.keys(readHeaders({ 'x-reserved': 1, ...raw }))).toEqual(Object.keys(raw).slice(0, 128));
  });

  it('gives what toHeaders made', () => {
    fc.assert(
      fc.property(fc.dictionary(freeName, headerValue, { maxKeys: 10 }), (raw) => {
        const sent = toHeaders(raw);
        const read = readHeaders(sent);
        expect(Object.entries(read)).toEqual(Object.entries(sent));
        expect(Object.getPrototypeOf(read)).toBeNull();
      }),
    );
  });

  it.each(RESERVED)('does not show %s', (name) => {
    expect({ ...readHeaders(parsed(`{"ok":1,"${name}":"v"}`)) }).toEqual({ ok: 1 });
  });

  it('shows the three types only', () => {
    const raw = {
      a: 'x',
      b: 1,
      c: false,
      d: null,
      e: { f: 1 },
      g: [1],
      h: Number.NaN,
      i: 1n,
      j: Buffer.from('x'),
      k: undefined,
    };
    expect({ ...readHeaders(raw) }).toEqual({ a: 'x', b: 1, c: false });
  });

  it('has no prototype, whether it found something or not', () => {
    for (const raw of [undefined, {}, { 'x-death': 1 }, { a: 1 }]) {
      expect(Object.getPrototypeOf(readHeaders(raw))).toBeNull();
    }
  });

  // two AMQP clients hand out headers whose prototype the sender chose
  it('shows nothing of a prototype that came with the headers', () => {
    const hostile = Object.assign(Object.create({ isAdmin: true, 'x-attempt': 99 }), { a: 1 }) as Record<
      string,
      unknown
    >;
    const headers = readHeaders(hostile);
    expect(headers.isAdmin).toBeUndefined();
    expect(Object.entries(headers)).toEqual([['a', 1]]);
  });

  it('changes no prototype, whatever it is given', () => {
    readHeaders(parsed('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"a":1}'));
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('never lets one reader change what the next one sees', () => {
    expect(() => {
      (readHeaders(undefined) as Record<string, unknown>).leak = 1;
    }).toThrow(TypeError);
    expect(readHeaders({}).leak).toBeUndefined();
  });
});
