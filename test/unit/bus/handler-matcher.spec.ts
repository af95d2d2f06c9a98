import { describe, expect, it, jest } from '@jest/globals';
import type { Handler } from '../../../lib/bus/handler.js';
import { HandlerMatcher } from '../../../lib/bus/handler-matcher.js';
import type { BindingRule } from '../../../lib/core/exchange.js';
import { DirectExchange } from '../../../lib/exchanges/direct.exchange.js';
import { HeadersExchange } from '../../../lib/exchanges/headers.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { aMessage } from '../support/message.js';

function handler(place: string, rules: readonly BindingRule[], event?: Handler['event']): Handler {
  return { place, rules, event, invoke: () => undefined };
}

const patterns = (...all: string[]): BindingRule[] => all.map((pattern) => ({ pattern }));

describe('HandlerMatcher', () => {
  it('chooses the most specific rule, whatever the order of the handlers', () => {
    const handlers = [
      handler('all', patterns('#')),
      handler('one', patterns('orders.created')),
      handler('orders', patterns('orders.*')),
    ];
    for (const order of [handlers, handlers.toReversed()]) {
      const matcher = new HandlerMatcher(new TopicExchange(), order);
      const placeOf = (topic: string) => matcher.find(aMessage({ topic }))?.place;
      expect(['orders.created', 'orders.paid', 'mail.sent'].map(placeOf)).toEqual(['one', 'orders', 'all']);
    }
  });

  it('a handler without rules has a queue of its own, and gets all that is there', () => {
    const only = handler('command', []);
    const find = (...handlers: Handler[]) =>
      new HandlerMatcher(new TopicExchange(), handlers).find(aMessage({ topic: 'orders.place' }));
    expect(find(only)).toBe(only);
    expect(find(only, handler('other', patterns('mail.*')))).toBeUndefined();
  });

  it('looks at every rule of a handler', () => {
    const matcher = new HandlerMatcher(new TopicExchange(), [
      handler('two', patterns('a', 'orders.#')),
      handler('orders', patterns('orders.*')),
    ]);
    expect(matcher.find(aMessage({ topic: 'a' }))?.place).toBe('two');
    expect(matcher.find(aMessage({ topic: 'orders.created' }))?.place).toBe('orders');
    expect(matcher.find(aMessage({ topic: 'orders.created.eu' }))?.place).toBe('two');
    expect(matcher.find(aMessage({ topic: 'b' }))).toBeUndefined();
  });

  describe('with handlers that understand one event', () => {
    const matcher = new HandlerMatcher(new TopicExchange(), [
      handler('v1', patterns('orders.created'), { type: 'orders.created', version: 1 }),
      handler('v2', patterns('orders.created'), { type: 'orders.created', version: 2 }),
      handler('other', patterns('orders.*'), { type: 'orders.other', version: 1 }),
      handler('any', patterns('#')),
    ]);

    it.each([
      ['its type and version', { type: 'orders.created', version: 1 }, 'v1'],
      ['another version', { type: 'orders.created', version: 2 }, 'v2'],
      ['no version: the first one', { type: 'orders.created' }, 'v1'],
      ['no type: from who knows only topics', { type: '' }, 'v1'],
      ['no type but a version', { type: '', version: 2 }, 'v2'],
      ['a version that nobody knows', { type: 'orders.created', version: 3 }, 'any'],
      ['another type', { type: 'orders.other' }, 'other'],
      ['an unknown type', { type: 'x' }, 'any'],
    ])('a message with %s', (_, fields, place) => {
      expect(matcher.find(aMessage(fields))?.place).toBe(place);
    });
  });

  it('remembers what it found for a topic, but not for ever', () => {
    const exchange = new TopicExchange();
    const matches = jest.spyOn(exchange, 'matches');
    const matcher = new HandlerMatcher(exchange, [handler('orders', patterns('orders.*'))]);
    const find = (topic: string): void => void matcher.find(aMessage({ topic }));
    for (let i = 0; i < 3; i++) find('orders.0');
    expect(matches).toHaveBeenCalledTimes(1);
    for (let i = 1; i < 1_000; i++) find(`orders.${i}`);
    find('orders.0');
    expect(matches).toHaveBeenCalledTimes(1_000); // a thousand topics are remembered
    find('orders.1000');
    find('orders.0');
    expect(matches).toHaveBeenCalledTimes(1_002);
  });

  it('looks at the headers of each message where they decide', () => {
    const matcher = new HandlerMatcher(new HeadersExchange(), [
      handler('eu', [{ headers: { region: 'eu' } }]),
      handler('vip', [{ headers: { region: 'eu', vip: true } }]),
    ]);
    const placeOf = (headers: Record<string, string | boolean>) => matcher.find(aMessage({ headers }))?.place;
    expect(placeOf({ region: 'eu' })).toBe('eu');
    expect(placeOf({ region: 'eu', vip: true })).toBe('vip');
    expect(placeOf({ region: 'us' })).toBeUndefined();
  });

  it('follows the rule of the exchange', () => {
    const matcher = new HandlerMatcher(new DirectExchange(), [handler('literal', patterns('orders.*'))]);
    expect(matcher.find(aMessage({ topic: 'orders.created' }))).toBeUndefined();
    expect(matcher.find(aMessage({ topic: 'orders.*' }))?.place).toBe('literal');
  });
});
