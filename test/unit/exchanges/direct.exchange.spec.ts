import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ExchangeHandler } from '../../../lib/core/exchange.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import { DirectExchange } from '../../../lib/exchanges/direct.exchange.js';

const message = (topic: string) => ({ topic, headers: NO_HEADERS });

describe('DirectExchange', () => {
  const exchange: ExchangeHandler = new DirectExchange();

  it('has the type that RabbitMQ declares, and needs no headers', () => {
    expect(exchange.type).toBe('direct');
    expect(exchange.usesHeaders).toBe(false);
  });

  it.each([
    ['orders.created', 'orders.created', true],
    ['orders.created', 'orders.deleted', false],
    ['orders.created', 'orders', false],
    ['orders.created', 'Orders.Created', false],
    ['', '', true],
    ['', 'a', false],
    ['orders.*', 'orders.created', false],
    ['orders.*', 'orders.*', true],
    ['#', 'a', false],
    ['#', '#', true],
  ] as const)('pattern "%s", topic "%s": %s', (pattern, topic, expected) => {
    expect(exchange.matches({ pattern }, message(topic))).toBe(expected);
  });

  it('takes a rule without pattern for the empty one', () => {
    expect(exchange.matches({}, message(''))).toBe(true);
    expect(exchange.matches({}, message('a'))).toBe(false);
    expect(exchange.overlap({}, { pattern: '' })).toBe(true);
  });

  it('matches and overlaps exactly what is equal', () => {
    const text = fc.constantFrom('', 'a', 'b', 'a.b', '*', '#', 'a.*');
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(exchange.matches({ pattern: a }, message(b))).toBe(a === b);
        expect(exchange.overlap({ pattern: a }, { pattern: b })).toBe(a === b);
      }),
    );
  });

  it('ranks no rule above another', () => {
    expect(exchange.specificity({ pattern: 'a.b' })).toEqual(exchange.specificity({ pattern: '#' }));
  });
});
