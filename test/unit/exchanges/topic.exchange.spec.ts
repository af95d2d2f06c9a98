import { describe, expect, it } from '@jest/globals';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';

const message = (topic: string) => ({ topic, headers: NO_HEADERS });

describe('TopicExchange', () => {
  const exchange = new TopicExchange();

  it('has the type that RabbitMQ declares, and needs no headers', () => {
    expect(exchange.type).toBe('topic');
    expect(exchange.usesHeaders).toBe(false);
  });

  it('routes by pattern', () => {
    expect(exchange.matches({ pattern: 'orders.*' }, message('orders.created'))).toBe(true);
    expect(exchange.matches({ pattern: 'orders.*' }, message('orders'))).toBe(false);
    expect(exchange.matches({ pattern: 'orders.#' }, message('orders'))).toBe(true);
  });

  it('takes no notice of headers', () => {
    const rule = { pattern: 'a', headers: { x: 1 } };
    expect(exchange.matches(rule, message('a'))).toBe(true);
  });

  it('takes a rule without pattern for "#", everywhere', () => {
    expect(exchange.matches({}, message(''))).toBe(true);
    expect(exchange.matches({}, message('a.b'))).toBe(true);
    expect(exchange.specificity({})).toEqual(exchange.specificity({ pattern: '#' }));
    expect(exchange.overlap({}, { pattern: 'a.b' })).toBe(true);
  });

  it('keeps the empty pattern apart from "#"', () => {
    expect(exchange.matches({ pattern: '' }, message(''))).toBe(true);
    expect(exchange.matches({ pattern: '' }, message('a'))).toBe(false);
    expect(exchange.overlap({ pattern: '' }, { pattern: 'a' })).toBe(false);
  });

  it('knows which rules can meet', () => {
    expect(exchange.overlap({ pattern: 'orders.*' }, { pattern: '*.created' })).toBe(true);
    expect(exchange.overlap({ pattern: 'orders.*' }, { pattern: 'users.*' })).toBe(false);
  });
});
