import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { BindingRule, ExchangeHandler, Routable } from '../../../lib/core/exchange.js';
import { createExchangeHandler, EXCHANGE_TYPES } from '../../../lib/exchanges/exchange.factory.js';
import { words } from '../../../lib/exchanges/topic-matcher.js';
import { WordTree } from '../../../lib/exchanges/word-tree.js';

const text = fc.array(fc.constantFrom('a', 'b', 'c', '*', '#', ''), { maxLength: 5 }).map((each) => each.join('.'));
const value = fc.constantFrom<string | number | boolean>(0, 1, '1', true, 'x');
const name = fc.constantFrom('p', 'q', 'r');

const rules: Readonly<Record<string, fc.Arbitrary<BindingRule>>> = {
  headers: fc.record(
    {
      headers: fc.dictionary(name, fc.oneof(value, fc.constant(null)), { maxKeys: 3 }),
      match: fc.constantFrom('all', 'any'),
    },
    { requiredKeys: [] },
  ),
};
const patterns = fc.record({ pattern: text }, { requiredKeys: [] });
const message: fc.Arbitrary<Routable> = fc.record({
  topic: text,
  headers: fc.dictionary(name, value, { maxKeys: 3 }),
});

const sorted = (found: Iterable<number>): number[] => [...new Set(found)].sort((a, b) => a - b);

describe.each(EXCHANGE_TYPES)('the index of a %s exchange', (type) => {
  const handler: ExchangeHandler = createExchangeHandler(type);

  it('finds what matches, whatever was taken away before', () => {
    let found = 0;
    const bindings = fc.array(fc.record({ rule: rules[type] ?? patterns, stays: fc.boolean() }), { maxLength: 30 });
    fc.assert(
      fc.property(bindings, fc.array(message, { minLength: 1, maxLength: 10 }), (given, messages) => {
        const index = handler.createIndex?.<number>();
        expect(index).toBeDefined();
        const removals = given.map(({ rule }, i) => index?.add(rule, i));
        for (const stay of [true, false]) {
          for (const one of messages) {
            const expected = given.flatMap(({ rule, stays }, i) =>
              (stay || stays) && handler.matches(rule, one) ? [i] : [],
            );
            expect(sorted(index?.find(one) ?? [])).toEqual(expected);
            found += expected.length;
          }
          for (const [i, { stays }] of given.entries()) {
            if (stays) continue;
            removals[i]?.();
            removals[i]?.();
          }
        }
      }),
      { numRuns: 300 },
    );
    expect(found).toBeGreaterThan(200);
  });

  it('keeps equal bindings apart', () => {
    const index = handler.createIndex?.<string>();
    const rule: BindingRule = type === 'headers' ? { headers: { p: 1, q: null } } : { pattern: 'a.b' };
    const given = { topic: 'a.b', headers: { p: 1, q: 2 } };
    const first = index?.add(rule, 'one');
    index?.add(rule, 'one');
    index?.add(rule, 'two');
    first?.();
    first?.();
    expect(new Set(index?.find(given))).toEqual(new Set(['one', 'two']));
  });
});

it.each(EXCHANGE_TYPES)('the index of a subclass of a %s exchange asks its own rule', (type) => {
  const handler = createExchangeHandler(type);
  class Own extends (handler.constructor as new () => ExchangeHandler) {
    override matches(_rule: BindingRule, { topic }: Routable): boolean {
      return topic === 'yes';
    }
  }
  const index = new Own().createIndex?.<number>();
  index?.add({ pattern: 'a' }, 1);
  expect([...(index?.find({ topic: 'yes', headers: {} }) ?? [])]).toEqual([1]);
  expect([...(index?.find({ topic: 'a', headers: {} }) ?? [])]).toEqual([]);
});

describe('an index of patterns', () => {
  // as in the matcher, no input may make it explode; counted, since a clock says little on a busy machine
  it('looks at each branch at most once per word, for 200 hostile patterns and 127 words', () => {
    const index = createExchangeHandler('topic').createIndex?.<number>();
    const patterns = Array.from({ length: 200 }, (_, i) => `${'#.a.*.'.repeat(i % 20)}#.x${i}`);
    const branches = new Set(
      patterns.flatMap((each) => each.split('.').map((_, i, all) => all.slice(0, i + 1).join('.'))),
    );
    for (const [i, each] of patterns.entries()) index?.add({ pattern: each }, i);
    const topic = Array.from({ length: 127 }, () => 'a').join('.');
    const lookUps = jest.spyOn(Map.prototype, 'get');
    const found = [...(index?.find({ topic, headers: {} }) ?? [])];
    const count = lookUps.mock.calls.length;
    lookUps.mockRestore();
    expect(found).toEqual([]);
    expect(count).toBeGreaterThan(127);
    // by its word, by "*" and by "#"
    expect(count).toBeLessThanOrEqual(127 * (branches.size + 1) * 3);
    expect([...(index?.find({ topic: `${topic}.x7`, headers: {} }) ?? [])]).toEqual([7]);
  });

  it('comes to each key at most once per word of a hostile published pattern', () => {
    const index = createExchangeHandler('x-rtopic').createIndex?.<number>();
    for (let i = 0; i < 1_000; i++) index?.add({ pattern: `a.a.a.a.a.a.${i}.b` }, i);
    const steps = jest.spyOn(Set.prototype, 'add');
    const found = [...(index?.find({ topic: `${'#.*.'.repeat(60)}x`, headers: {} }) ?? [])];
    const count = steps.mock.calls.length;
    steps.mockRestore();
    expect(found).toEqual([]);
    expect(count).toBeGreaterThan(1_000);
    expect(count).toBeLessThanOrEqual(121 * 2_007);
  });

  it('keeps nothing of what was taken away', () => {
    const tree = new WordTree<number>();
    tree.add(words('a.b'), 0);
    const removals = ['a', 'a.b.c', 'a.b.d', 'x.#', '', 'a.b'].map((pattern, i) => tree.add(words(pattern), i));
    for (const remove of removals) remove();
    const [a, ...others] = tree.root.children.values();
    expect(others).toEqual([]);
    expect([...(a?.children.keys() ?? [])]).toEqual(['b']);
    expect(a?.children.get('b')?.children.size).toBe(0);
    expect(tree.root.entries.size).toBe(0);
  });
});
