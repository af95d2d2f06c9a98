import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { BindingRule, ExchangeHandler, Routable } from '../../lib/core/exchange.js';
import { toHeaders } from '../../lib/core/headers.js';
import { createExchangeHandler, type ExchangeType } from '../../lib/exchanges/exchange.factory.js';
import { askBroker } from '../support/broker.oracle.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { HEADERS_TABLE } from '../unit/support/headers.js';
import { allOf, TOPIC_TABLE } from '../unit/support/topics.js';

const live = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** A new one in each run; a failure names it. */
const seed = Number(process.env.ORACLE_SEED ?? Date.now() % 2 ** 31);

const word = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b') },
  { weight: 1, arbitrary: fc.constantFrom('', 'A', 'ab', 'ä', 'a*', '##') },
);
const asked = fc.oneof({ weight: 3, arbitrary: word }, { weight: 3, arbitrary: fc.constantFrom('*', '#') });
const given = fc.oneof({ weight: 12, arbitrary: word }, { weight: 1, arbitrary: fc.constantFrom('*', '#') });
const joined = (each: fc.Arbitrary<string>, maxLength: number): fc.Arbitrary<string> =>
  fc.array(each, { maxLength }).map((words) => words.join('.'));
const topics = joined(given, 5).map((topic) => ({ topic, headers: toHeaders(undefined) }));

const name = fc.constantFrom('a', 'b', 'c', 'A');
const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<string | number | boolean>(0, 1, '1', true) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      'true',
      'ä',
      false,
      -0,
      -1,
      1.5,
      '1.5',
      300,
      2 ** 31,
      2 ** 53,
      2 ** 60,
      1e300,
      -1e300,
    ),
  },
  { weight: 1, arbitrary: fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger()) },
);
const headers = fc.dictionary(name, value, { maxKeys: 4 });
const askedHeaders = fc.dictionary(name, fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null)), {
  minKeys: 1,
  maxKeys: 3,
});

interface Trial {
  readonly type: ExchangeType;
  readonly rule: fc.Arbitrary<BindingRule>;
  readonly message: fc.Arbitrary<Routable>;
  readonly rules: number;
  readonly messages: number;
  /** Least share of either answer, so that agreeing means something. */
  readonly share: number;
}

const TRIALS: readonly Trial[] = [
  {
    type: 'topic',
    rule: joined(asked, 4).map((pattern) => ({ pattern })),
    message: topics,
    rules: 250,
    messages: 500,
    share: 0.1,
  },
  {
    type: 'headers',
    rule: fc.oneof(
      fc.record({ headers: askedHeaders, match: fc.constantFrom('all' as const, 'any' as const) }),
      fc.record({ headers: askedHeaders }),
      fc.record({ headers: fc.dictionary(name, value, { maxKeys: 1 }) }),
    ),
    message: headers.map((each) => ({ topic: 'x', headers: toHeaders(each) })),
    rules: 250,
    messages: 500,
    share: 0.1,
  },
  {
    type: 'direct',
    rule: joined(given, 2).map((pattern) => ({ pattern })),
    message: joined(given, 2).map((topic) => ({ topic, headers: toHeaders(undefined) })),
    rules: 80,
    messages: 200,
    share: 0.01,
  },
  {
    type: 'fanout',
    rule: joined(asked, 3).map((pattern) => ({ pattern })),
    message: topics,
    rules: 20,
    messages: 200,
    share: 0,
  },
];

interface Comparison {
  readonly wrong: readonly string[];
  readonly hits: number;
  readonly pairs: number;
}

/** Asks the rule and the broker about each binding with each message. */
async function compare(
  handler: ExchangeHandler,
  rules: readonly BindingRule[],
  messages: readonly Routable[],
): Promise<Comparison> {
  const { reached, returned } = await askBroker(RABBITMQ.url, handler, rules, messages);
  const wrong: string[] = [];
  let hits = 0;
  for (const [j, message] of messages.entries()) {
    let isWanted = false;
    for (const [i, rule] of rules.entries()) {
      const expected = handler.matches(rule, message);
      isWanted ||= expected;
      if (expected) hits++;
      const copies = reached[i]?.[j];
      if (copies !== (expected ? 1 : 0))
        wrong.push(
          `${JSON.stringify(rule)} and ${JSON.stringify(message)}: ${copies} copies, the rule says ${expected}`,
        );
    }
    if (returned[j] === isWanted) wrong.push(`${JSON.stringify(message)}: returned ${returned[j]}`);
  }
  return { wrong: wrong.slice(0, 10), hits, pairs: rules.length * messages.length };
}

live('RabbitMQ and the rule give the same answer', () => {
  it.each(TRIALS)(
    'to random bindings and messages: $type, $rules × $messages',
    async ({ type, rule, message, rules, messages, share }) => {
      const handler = createExchangeHandler(type);
      const bindings = fc.sample(rule, { seed, numRuns: rules });
      for (const binding of bindings) handler.assertRule(binding);
      const { wrong, hits, pairs } = await compare(
        handler,
        bindings,
        fc.sample(message, { seed: seed + 1, numRuns: messages }),
      );
      expect({ seed, wrong }).toEqual({ seed, wrong: [] });
      expect(hits / pairs).toBeGreaterThanOrEqual(share);
      expect(hits / pairs).toBeLessThanOrEqual(1 - share);
    },
    60_000,
  );

  it('asks for more than 100,000 pairs of topics, and as many of headers', () => {
    for (const { type, rules, messages } of TRIALS.slice(0, 2))
      expect([type, rules * messages]).toEqual([type, 125_000]);
  });

  it('to all short patterns and topics, empty words and wildcards in topics included', async () => {
    const rules = allOf(['a', '*', '#', ''], 3).map((pattern) => ({ pattern }));
    const messages = allOf(['a', 'b', '', '*'], 3).map((topic) => ({ topic, headers: {} }));
    const { wrong, hits, pairs } = await compare(createExchangeHandler('topic'), rules, messages);
    expect(wrong).toEqual([]);
    expect([hits > 1_000, pairs]).toEqual([true, 85 * 85]);
  }, 60_000);
});

live('RabbitMQ answers as the table says', () => {
  it.each<[ExchangeType, readonly (readonly [BindingRule, Routable, boolean])[]]>([
    ['topic', TOPIC_TABLE.map(([pattern, topic, expected]) => [{ pattern }, { topic, headers: {} }, expected])],
    [
      'headers',
      HEADERS_TABLE.map(([rule, each, expected]) => [rule, { topic: 'x', headers: toHeaders(each) }, expected]),
    ],
  ])('of a %s exchange', async (type, table) => {
    const rules = table.map(([rule]) => rule);
    const messages = table.map(([, message]) => message);
    const { reached } = await askBroker(RABBITMQ.url, createExchangeHandler(type), rules, messages);
    const wrong = table.filter(([, , expected], i) => reached[i]?.[i] !== (expected ? 1 : 0));
    expect(wrong).toEqual([]);
    expect(table.length).toBeGreaterThanOrEqual(40);
  });
});
