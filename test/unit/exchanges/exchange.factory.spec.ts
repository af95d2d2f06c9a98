import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/core/errors.js';
import type { BindingRule } from '../../../lib/core/exchange.js';
import { DirectExchange } from '../../../lib/exchanges/direct.exchange.js';
import {
  createExchangeHandler,
  EXCHANGE_TYPES,
  type ExchangeType,
  isExchangeHandler,
} from '../../../lib/exchanges/exchange.factory.js';
import { FanoutExchange } from '../../../lib/exchanges/fanout.exchange.js';
import { HeadersExchange } from '../../../lib/exchanges/headers.exchange.js';
import { RTopicExchange } from '../../../lib/exchanges/rtopic.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { caught } from '../support/caught.js';

describe('createExchangeHandler', () => {
  it.each([
    ['topic', TopicExchange],
    ['direct', DirectExchange],
    ['fanout', FanoutExchange],
    ['headers', HeadersExchange],
    ['x-rtopic', RTopicExchange],
  ] as const)('makes %s', (type, expected) => {
    expect(createExchangeHandler(type)).toBeInstanceOf(expected);
  });

  it('makes a handler of the type asked for, for every known type', () => {
    expect(EXCHANGE_TYPES.map((type) => createExchangeHandler(type).type)).toEqual([...EXCHANGE_TYPES]);
  });

  it.each(['', 'Topic', 'fan-out', 'constructor', undefined])('refuses the unknown type "%s"', (type) => {
    const error = caught(() => createExchangeHandler(type as ExchangeType));
    expect(error).toBeInstanceOf(ConfigurationError);
    for (const known of EXCHANGE_TYPES) expect(error.message).toContain(known);
  });

  it('does not repeat the value', () => {
    expect(caught(() => createExchangeHandler('amqp://u:c4n4ry@h' as ExchangeType)).message).not.toContain('c4n4ry');
  });
});

describe('isExchangeHandler', () => {
  it('knows the built-in ones and own ones', () => {
    for (const type of EXCHANGE_TYPES) expect(isExchangeHandler(createExchangeHandler(type))).toBe(true);
    expect(isExchangeHandler({ matches: () => true })).toBe(true);
  });

  it.each([undefined, null, 'topic', 1, {}, { type: 'topic' }, { matches: true }, () => true])(
    'is false for what can be another option: %p',
    (value) => {
      expect(isExchangeHandler(value)).toBe(false);
    },
  );
});

describe.each(EXCHANGE_TYPES)('limits of a %s exchange', (type) => {
  const exchange = createExchangeHandler(type);
  const dots = (words: number): string => '.'.repeat(words - 1);

  it.each<[string, string]>([
    ['nothing', ''],
    ['255 bytes', 'a'.repeat(255)],
    ['255 bytes of two-byte letters and one more', `${'é'.repeat(127)}a`],
    ['255 bytes of three-byte letters', '€'.repeat(85)],
    ['128 words', dots(128)],
    ['128 words in 255 bytes', Array.from({ length: 128 }, () => 'a').join('.')],
  ])('accepts %s as topic and pattern', (_, value) => {
    expect(() => exchange.assertTopic(value)).not.toThrow();
    expect(() => exchange.assertRule({ pattern: value })).not.toThrow();
  });

  it.each<[string, string, RegExp]>([
    ['256 bytes', 'a'.repeat(256), /256 bytes.*255/],
    ['256 bytes in 128 letters', 'é'.repeat(128), /256 bytes.*255/],
    ['258 bytes in 86 letters', '€'.repeat(86), /258 bytes.*255/],
    ['256 bytes of emoji', '😀'.repeat(64), /256 bytes.*255/],
    ['129 words', dots(129), /129 words.*128/],
  ])('refuses %s as topic and pattern, and says the limit', (_, value, text) => {
    const topic = caught(() => exchange.assertTopic(value));
    expect(topic).toBeInstanceOf(ConfigurationError);
    expect(topic.message).toMatch(text);
    expect(topic.message).toMatch(/^Topic /);
    const pattern = caught(() => exchange.assertRule({ pattern: value }));
    expect(pattern).toBeInstanceOf(ConfigurationError);
    expect(pattern.message).toMatch(text);
    expect(pattern.message).toMatch(/^Pattern /);
    expect(pattern.message.length).toBeLessThan(200);
  });

  it.each(['\ud800', 'a.\udc00', 'a.\ud83d', `${'a'.repeat(200)}\ud800`])(
    'refuses half of a surrogate pair: %j',
    (value) => {
      for (const check of [() => exchange.assertTopic(value), () => exchange.assertRule({ pattern: value })]) {
        const error = caught(check);
        expect(error).toBeInstanceOf(ConfigurationError);
        expect(error.message).toMatch(/surrogate pair/);
      }
      expect(() => exchange.assertTopic('a.😀')).not.toThrow();
    },
  );

  it.each<BindingRule>([{ headers: { x: 1 } }, { match: 'all' }, { headers: {} }])(
    'takes %j only if it looks at headers',
    (rule) => {
      const error = caught(() => {
        exchange.assertRule(rule);
        throw new Error('it was taken');
      });
      expect(error.message).toMatch(exchange.usesHeaders ? 'it was taken' : `"${type}"`);
      expect(error instanceof ConfigurationError).toBe(!exchange.usesHeaders);
    },
  );

  it.each([1, null, {}, ['a']])('refuses %p as a topic', (value) => {
    expect(caught(() => exchange.assertTopic(value as string))).toBeInstanceOf(ConfigurationError);
  });

  it('refuses a pattern that is no string', () => {
    expect(caught(() => exchange.assertRule({ pattern: 1 as unknown as string }))).toBeInstanceOf(ConfigurationError);
  });

  it('accepts a rule without a pattern', () => {
    expect(() => exchange.assertRule({})).not.toThrow();
  });
});
