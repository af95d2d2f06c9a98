import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { complaintQuotes, quotes, valueAt } from '../../../lib/core/quotation.js';

const ALL = { names: true, atLeast: 1 };

describe('quotes', () => {
  it.each<[string, unknown]>([
    ["received 'secret'", 'secret'],
    ['received SECRET', 'secret'],
    ['received "a\\"b"', 'a"b'],
    ['received a\\nb', 'a\nb'],
    ['received 12.5', 12.5],
    ['received -3', { n: [-3] }],
    ['received true', true],
    ['received 12', 12n],
    ['x', 'x'],
    ['unrecognized: pin', { pin: 1 }],
    [`got ${'long '.repeat(10)}…`, 'long '.repeat(500)],
    ['passsecretword', 'secretword'],
    ['received secret', { a: { b: ['other', { c: ' secret ' }] } }],
    ['value="5"', 5],
  ])('%s shows %p', (text, payload) => {
    expect(quotes(text, payload, ALL)).toBe(true);
  });

  it.each<[string, unknown]>([
    ['expected string', 'ring'],
    ['at least 15', 5],
    ['is wrong', ''],
    ['is wrong', '  '],
    ['received null', null],
    ['received undefined', undefined],
    ['received undefined', {}],
    ['is wrong', Buffer.from('is wrong')],
    ['expected number', 'um'],
    ['größer als', 'r'],
    ['item 0 is wrong', ['a', 'b']],
  ])('%s does not show %p', (text, payload) => {
    expect(quotes(text, payload, ALL)).toBe(false);
  });

  it('looks at names only where they count, and at short values only where they do', () => {
    const payload = { pin: 'abc' };
    expect(quotes('pin', payload, { names: false, atLeast: 1 })).toBe(false);
    expect(quotes('abc', payload, { names: false, atLeast: 4 })).toBe(false);
    expect(quotes('abc', payload, { names: false, atLeast: 3 })).toBe(true);
  });

  it('takes what is too large to be searched, or without end, to be quoted', () => {
    const cycle: Record<string, unknown> = { a: 1 };
    cycle.self = cycle;
    expect(quotes('no', cycle, ALL)).toBe(true);
    expect(
      quotes(
        'no',
        Array.from({ length: 6_000 }, () => 'x'),
        ALL,
      ),
    ).toBe(true);
    expect(
      quotes(
        'no',
        Array.from({ length: 4_000 }, () => 'x'),
        ALL,
      ),
    ).toBe(false);
  });

  it('costs little, however long the texts and however many the names', () => {
    const names = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 1]));
    expect(quotes('is wrong', names(2_400), ALL)).toBe(false);
    expect(quotes('is wrong', [names(2_400), names(2_400), names(2_400)], ALL)).toBe(true);
    const [long, many] = ['"'.repeat(1_000_000), names(100_000)];
    const begin = process.cpuUsage();
    for (let n = 0; n < 20; n++) {
      quotes('is wrong', long, ALL);
      quotes('is wrong', many, ALL);
    }
    // the time of this process alone: others may be busy
    const { user, system } = process.cpuUsage(begin);
    expect((user + system) / 1_000).toBeLessThan(2_000);
  });

  it('finds any text that stands in quotation marks', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.jsonValue(), (value, other) => {
        fc.pre(value.trim() !== '');
        const payload = { other, value };
        expect(quotes(`Invalid input: received '${value}'`, payload, ALL)).toBe(true);
        expect(quotes(`Invalid input: received ${JSON.stringify(value)}`, payload, ALL)).toBe(true);
      }),
    );
  });
});

describe('valueAt', () => {
  const payload = { a: [{ b: 1 }], 'x.y': 2 };

  it.each<[readonly string[], unknown]>([
    [[], payload],
    [['a'], payload.a],
    [['a', '0', 'b'], 1],
    [['x.y'], 2],
    [['a', '1'], payload],
    [['toString'], payload],
    [['a', '0', 'b', 'c'], payload],
  ])('of %j', (path, value) => {
    expect(valueAt(payload, path)).toBe(value);
  });
});

describe('complaintQuotes', () => {
  const payload = { name: 'Bob', age: 1, mail: 'bob@example.org' };

  it.each<[string, readonly string[], boolean]>([
    ['must have at least 1 character', ['name'], false],
    ['must be at least 1', ['age'], true],
    ['must not be Bob', ['name'], true],
    ['must not be Bob', ['age'], false],
    ['must not be bob@example.org', ['age'], true],
    ['is wrong', ['nowhere'], false],
  ])('%s at %j', (text, path, expected) => {
    expect(complaintQuotes(text, payload, path, true)).toBe(expected);
  });
});
