import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { type BindingHeaders, type BindingRule, compareSpecificity } from '../../../lib/core/exchange.js';
import type { Headers } from '../../../lib/core/message.js';
import { HeadersExchange } from '../../../lib/exchanges/headers.exchange.js';
import { caught } from '../support/caught.js';

const message = (headers: Headers, topic = 'any') => ({ topic, headers });

/** All headers made of these names, each absent or with one of the values 1 and 2. */
const ALL: readonly Headers[] = [undefined, 1, 2].flatMap((x) =>
  [undefined, 1, 2].flatMap((y) =>
    [undefined, 1, 2].map((z) => ({ ...(x && { x }), ...(y && { y }), ...(z && { z }) }) as Headers),
  ),
);
/** What rules can ask for: as above, or any value. */
const ASKED: readonly BindingHeaders[] = [undefined, 1, 2, null].flatMap((x) =>
  [undefined, 1, null].flatMap((y) =>
    [undefined, 1, null].map((z) => ({
      ...(x !== undefined && { x }),
      ...(y !== undefined && { y }),
      ...(z !== undefined && { z }),
    })),
  ),
);
const RULES: readonly BindingRule[] = ASKED.flatMap((headers) => [
  { headers, match: 'all' },
  { headers, match: 'any' },
]);

/** Written without a look at the library. */
function matchesByTheBook({ headers = {}, match = 'all' }: BindingRule, given: Headers): boolean {
  let hits = 0;
  for (const name in headers) {
    if (name in given && (headers[name] === null || given[name] === headers[name])) hits++;
  }
  return match === 'any' ? hits > 0 : hits === Object.keys(headers).length;
}

/** Without `any` of no headers, which never matches and which `assertRule` is to refuse. */
const ABLE = RULES.filter(({ headers = {}, match }) => match === 'all' || Object.keys(headers).length > 0);

const show = (rule: BindingRule): string => `${rule.match ?? 'all'} ${JSON.stringify(rule.headers)}`;

describe('HeadersExchange', () => {
  const exchange = new HeadersExchange();

  it('has the type that RabbitMQ declares, and says that it needs headers', () => {
    expect(exchange.type).toBe('headers');
    expect(exchange.usesHeaders).toBe(true);
  });

  it.each<[string, BindingRule, Headers, boolean]>([
    ['all are there', { headers: { a: 1, b: 'x' } }, { a: 1, b: 'x', c: true }, true],
    ['one is missing', { headers: { a: 1, b: 'x' } }, { a: 1 }, false],
    ['one is different', { headers: { a: 1, b: 'x' } }, { a: 1, b: 'y' }, false],
    ['any: one is there', { headers: { a: 1, b: 'x' }, match: 'any' }, { b: 'x' }, true],
    ['any: one is there, the other different', { headers: { a: 1, b: 'x' }, match: 'any' }, { a: 2, b: 'x' }, true],
    ['any: none is there', { headers: { a: 1, b: 'x' }, match: 'any' }, { c: 1 }, false],
    ['any: all different', { headers: { a: 1 }, match: 'any' }, { a: 2 }, false],
    ['explicit all', { headers: { a: 1, b: 2 }, match: 'all' }, { a: 1 }, false],
    ['nothing asked for', { headers: {} }, { a: 1 }, true],
    ['nothing asked for, nothing given', {}, {}, true],
    ['any of nothing', { headers: {}, match: 'any' }, { a: 1 }, false],
    ['a number is not its text', { headers: { a: 1 } }, { a: '1' }, false],
    ['a text is not its number', { headers: { a: '1' } }, { a: 1 }, false],
    ['true is not 1', { headers: { a: true } }, { a: 1 }, false],
    ['true is not "true"', { headers: { a: true } }, { a: 'true' }, false],
    ['false is present', { headers: { a: false } }, { a: false }, true],
    ['false is not absent', { headers: { a: false } }, {}, false],
    ['the empty string is present', { headers: { a: '' } }, { a: '' }, true],
    ['names have case', { headers: { A: 1 } }, { a: 1 }, false],
    ['anything is there', { headers: { a: null } }, { a: 'x' }, true],
    ['anything is there: false', { headers: { a: null } }, { a: false }, true],
    ['anything is there: the empty string', { headers: { a: null } }, { a: '' }, true],
    ['nothing is there', { headers: { a: null } }, { b: 1 }, false],
    ['one is there, one is equal', { headers: { a: null, b: 1 } }, { a: 'x', b: 1 }, true],
    ['one is there, one is not equal', { headers: { a: null, b: 1 } }, { a: 'x', b: 2 }, false],
    ['any: one is there', { headers: { a: null, b: 1 }, match: 'any' }, { a: 'x', b: 2 }, true],
    ['any: none is there', { headers: { a: null, b: 1 }, match: 'any' }, { b: 2 }, false],
    ['0 and -0 are one number', { headers: { a: 0 } }, { a: -0 }, true],
    ['1 and 1.0 are one number', { headers: { a: 1.0 } }, { a: 1 }, true],
  ])('%s', (_, rule, headers, expected) => {
    expect(exchange.matches(rule, message(headers))).toBe(expected);
  });

  it('takes no notice of topic and pattern', () => {
    expect(exchange.matches({ pattern: 'a', headers: { x: 1 } }, message({ x: 1 }, 'b'))).toBe(true);
    expect(exchange.matches({ pattern: 'a', headers: { x: 1 } }, message({}, 'a'))).toBe(false);
  });

  it('never sees inherited headers', () => {
    const inherited = Object.create({ admin: true }) as Headers;
    expect(exchange.matches({ headers: { admin: true } }, message(inherited))).toBe(false);
    const name = 'toString';
    expect(exchange.matches({ headers: { [name]: 'x' }, match: 'any' }, message({}))).toBe(false);
  });

  it('reads headers without a prototype', () => {
    const bare = Object.assign(Object.create(null), { x: 1 }) as Headers;
    expect(exchange.matches({ headers: { x: 1 } }, message(bare))).toBe(true);
    expect(exchange.matches({ headers: bare }, message({ x: 1 }))).toBe(true);
  });

  it('equals a naive implementation', () => {
    const headers = fc.dictionary(
      fc.constantFrom('a', 'b', 'c'),
      fc.constantFrom<string | number | boolean>(0, 1, '1', '', true, false),
      { maxKeys: 3 },
    );
    const rules = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(0, 1, '1', '', true, false, null), {
      maxKeys: 3,
    });
    fc.assert(
      fc.property(rules, fc.constantFrom('all', 'any', undefined), headers, (asked, match, given) => {
        const rule: BindingRule = match === undefined ? { headers: asked } : { headers: asked, match };
        expect(exchange.matches(rule, message(given))).toBe(matchesByTheBook(rule, given));
      }),
      { numRuns: 1_000 },
    );
  });

  describe('assertRule', () => {
    it.each(['x-match', 'x-any', 'eb-id', 'EB-Attempt', 'CC', 'bcc'])('refuses the reserved header %s', (name) => {
      const error = caught(() => exchange.assertRule({ headers: { ok: 1, [name]: 'canary' } }));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toContain(`"${name}"`);
      expect(error.message).not.toContain('canary');
    });

    it('accepts what can match', () => {
      expect(() => exchange.assertRule({ headers: { a: 1, b: 'x', c: false }, match: 'any' })).not.toThrow();
      expect(() => exchange.assertRule({ headers: { a: 1 } })).not.toThrow();
      expect(() => exchange.assertRule({ headers: { a: null }, match: 'any' })).not.toThrow();
      expect(() => exchange.assertRule({})).not.toThrow();
    });

    // the interface: "Throws a ConfigurationError for a rule that can never work."
    it.each<[string, unknown]>([
      ['any of no headers', { headers: {}, match: 'any' }],
      ['any without headers', { match: 'any' }],
      ['a value that is an object', { headers: { a: { b: 1 } } }],
      ['a value with half of a surrogate pair', { headers: { a: '\ud800' } }],
      ['a name with half of a surrogate pair', { headers: { '\ud800': 1 } }],
      ['headers that are null', { headers: null }],
      ['headers that are a list', { headers: ['a'] }],
      ['headers that are a Map', { headers: new Map([['a', 1]]) }],
      ['headers that are a text', { headers: 'a' }],
      ['a value that is undefined', { headers: { a: undefined } }],
      ['a value that is NaN', { headers: { a: Number.NaN } }],
      ['a value that is a bigint', { headers: { a: 1n } }],
    ])('refuses what can never match: %s', (_, rule) => {
      expect(caught(() => exchange.assertRule(rule as BindingRule))).toBeInstanceOf(ConfigurationError);
    });

    it('refuses an unknown kind of match', () => {
      const rule = { headers: { a: 1 }, match: 'some' } as unknown as BindingRule;
      expect(caught(() => exchange.assertRule(rule))).toBeInstanceOf(ConfigurationError);
    });
  });

  describe('overlap', () => {
    const meet = (a: BindingRule, b: BindingRule): boolean =>
      ALL.some((headers) => matchesByTheBook(a, headers) && matchesByTheBook(b, headers));

    it('is true whenever a message matches both', () => {
      const wrong: string[] = [];
      for (const a of RULES) {
        for (const b of RULES) if (meet(a, b) && !exchange.overlap(a, b)) wrong.push(`${show(a)} and ${show(b)}`);
      }
      expect(wrong).toEqual([]);
    });

    it('is false when no message can match both: all', () => {
      const wrong: string[] = [];
      for (const a of RULES.filter((rule) => rule.match === 'all')) {
        for (const b of RULES.filter((rule) => rule.match === 'all')) {
          if (!meet(a, b) && exchange.overlap(a, b)) wrong.push(`${show(a)} and ${show(b)}`);
        }
      }
      expect(wrong).toEqual([]);
    });

    it.each<[string, BindingRule, BindingRule]>([
      ['any and any of one header', { headers: { x: 1 }, match: 'any' }, { headers: { x: 2 }, match: 'any' }],
      ['any and all of one header', { headers: { x: 1 }, match: 'any' }, { headers: { x: 2 } }],
      ['any, each contradicted', { headers: { x: 1, y: 1 }, match: 'any' }, { headers: { x: 2, y: 2 } }],
    ])('is false when no message can match both: %s', (_, a, b) => {
      expect(exchange.overlap(a, b)).toBe(false);
      expect(exchange.overlap(b, a)).toBe(false);
    });

    it('is false when no message can match both: brute force with any', () => {
      const wrong: string[] = [];
      for (const a of ABLE) {
        for (const b of ABLE) if (!meet(a, b) && exchange.overlap(a, b)) wrong.push(`${show(a)} and ${show(b)}`);
      }
      expect(wrong.slice(0, 20)).toEqual([]);
    });

    it('takes a rule without headers for one that matches everything', () => {
      expect(exchange.overlap({}, { headers: { x: 1 } })).toBe(true);
      expect(exchange.overlap({ headers: { x: 1 } }, {})).toBe(true);
      expect(exchange.overlap({}, {})).toBe(true);
    });

    it('keeps the types of values apart', () => {
      expect(exchange.overlap({ headers: { x: 1 } }, { headers: { x: '1' } })).toBe(false);
    });
  });

  describe('specificity', () => {
    const compare = (a: BindingRule, b: BindingRule): number =>
      compareSpecificity(exchange.specificity(a), exchange.specificity(b));

    it('ranks more headers above fewer, and all above any', () => {
      expect(compare({ headers: { a: 1, b: 1 } }, { headers: { a: 1 } })).toBeGreaterThan(0);
      expect(compare({ headers: { a: 1, b: 1 } }, { headers: { a: 1, b: 1 }, match: 'any' })).toBeGreaterThan(0);
      expect(compare({ headers: { a: 1 } }, {})).toBeGreaterThan(0);
      expect(compare({ headers: { a: 1 } }, { headers: { b: 2 }, match: 'all' })).toBe(0);
    });

    it.each<[string, BindingRule, BindingRule]>([
      ['all of one, any of two', { headers: { x: 1 } }, { headers: { x: 1, y: 1 }, match: 'any' }],
      ['any of one, any of two', { headers: { x: 1 }, match: 'any' }, { headers: { x: 1, y: 1 }, match: 'any' }],
    ])('ranks the rule that matches strictly less higher: %s', (_, narrow, wide) => {
      expect(compare(narrow, wide)).toBeGreaterThan(0);
    });

    // else a handler could be bound and never get anything: the wider rule would take each of its deliveries
    it('never ranks a rule above or beside one that matches strictly less', () => {
      const wrong: string[] = [];
      for (const narrow of ABLE) {
        for (const wide of ABLE) {
          const inside = ALL.every((h) => !matchesByTheBook(narrow, h) || matchesByTheBook(wide, h));
          const strictly = inside && ALL.some((h) => matchesByTheBook(wide, h) && !matchesByTheBook(narrow, h));
          if (strictly && compare(narrow, wide) <= 0) wrong.push(`${show(narrow)} inside ${show(wide)}`);
        }
      }
      expect(wrong.slice(0, 20)).toEqual([]);
    });
  });
});
