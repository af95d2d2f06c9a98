import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { BindingRule, ExchangeHandler } from '../../../lib/core/exchange.js';
import { createExchangeHandler, EXCHANGE_TYPES } from '../../../lib/exchanges/exchange.factory.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { checkExchangeHandler } from '../../../lib/testing/index.js';

const text = fc.array(fc.constantFrom('a', 'b', '*', '#', ''), { maxLength: 4 }).map((words) => words.join('.'));
const values = fc.constantFrom<string | number | boolean>(1, '1', true);
const names = fc.constantFrom('p', 'q');

/** The topic exchange with something broken in it. */
function broken(changes: Partial<ExchangeHandler>): ExchangeHandler {
  return Object.assign(new TopicExchange(), changes);
}

describe('checkExchangeHandler', () => {
  const samples = {
    rules: [{ pattern: 'a.*' }, { pattern: 'a.b' }, { pattern: 'c' }, {}],
    messages: ['a.b', 'a.c', 'c', 'd'].map((topic) => ({ topic, headers: { x: 1 } })),
  };

  it.each(EXCHANGE_TYPES)('finds nothing in the %s exchange', (type) => {
    const rule: fc.Arbitrary<BindingRule> =
      type === 'headers'
        ? fc.record({ headers: fc.dictionary(names, fc.oneof(values, fc.constant(null)), { maxKeys: 2 }) })
        : fc.record({ pattern: text });
    const message = fc.record({ topic: text, headers: fc.dictionary(names, values) });
    const many = { minLength: 1, maxLength: 12 };
    fc.assert(
      fc.property(fc.array(rule, many), fc.array(message, many), (rules, messages) => {
        expect(checkExchangeHandler(createExchangeHandler(type), { rules, messages })).toEqual([]);
      }),
    );
  });

  it.each<readonly [string, Partial<ExchangeHandler>, RegExp]>([
    ['a match that does not overlap', { overlap: (a, b) => a.pattern === b.pattern }, /is false, and .* matches both/],
    ['an overlap that depends on the order', { overlap: (a) => a.pattern !== 'c' }, /changes when the two are swapped/],
    ['an order without numbers', { specificity: () => [Number.NaN] }, /list of finite numbers/],
    ['a match by headers', { matches: (_, { headers }) => headers.x === 1 }, /depends on headers/],
    ['an answer that is none', { matches: () => 'yes' as unknown as boolean }, /must be true or false/],
    [
      'an index that finds nothing',
      { createIndex: () => ({ add: () => () => undefined, find: () => [] }) },
      /The index and matches.* differ when all rules are there/,
    ],
    [
      'samples that are refused',
      {
        assertTopic: () => {
          throw new Error('no such topic');
        },
      },
      /A sample is refused.*no such topic/,
    ],
  ])('finds %s', (_, changes, text) => {
    expect(checkExchangeHandler(broken(changes), samples).join('\n')).toMatch(text);
  });

  it('finds an answer that changes', () => {
    let calls = 0;
    const problems = checkExchangeHandler(broken({ matches: () => calls++ % 2 === 0 }), samples);
    expect(problems.join('\n')).toMatch(/answers differently the second time/);
  });

  it('finds an index of a subclass that matches otherwise', () => {
    const wider = broken({
      matches: () => true,
      overlap: () => true,
      createIndex: () => new TopicExchange().createIndex(),
    });
    expect(checkExchangeHandler(wider, samples).join('\n')).toMatch(/The index and matches/);
  });
});
