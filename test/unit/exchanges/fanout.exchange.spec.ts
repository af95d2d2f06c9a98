import { describe, expect, it } from '@jest/globals';
import type { ExchangeHandler } from '../../../lib/core/exchange.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import { FanoutExchange } from '../../../lib/exchanges/fanout.exchange.js';

describe('FanoutExchange', () => {
  const exchange: ExchangeHandler = new FanoutExchange();

  it('has the type that RabbitMQ declares, and needs no headers', () => {
    expect(exchange.type).toBe('fanout');
    expect(exchange.usesHeaders).toBe(false);
  });

  it.each([
    ['a', 'a'],
    ['a', 'b'],
    ['orders.*', 'users.created.eu'],
    ['', 'a'],
    [undefined, ''],
  ] as const)('routes everything: pattern "%s", topic "%s"', (pattern, topic) => {
    const rule = pattern === undefined ? {} : { pattern };
    expect(exchange.matches(rule, { topic, headers: NO_HEADERS })).toBe(true);
  });

  it('lets any two rules meet, with equal right', () => {
    expect(exchange.overlap({ pattern: 'a' }, { pattern: 'b' })).toBe(true);
    expect(exchange.specificity({ pattern: 'a.b' })).toEqual(exchange.specificity({}));
  });
});
