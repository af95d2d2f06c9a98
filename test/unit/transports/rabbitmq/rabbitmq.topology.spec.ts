import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../../lib/core/errors.js';
import type { ExchangeHandler } from '../../../../lib/core/exchange.js';
import { DirectExchange } from '../../../../lib/exchanges/direct.exchange.js';
import { FanoutExchange } from '../../../../lib/exchanges/fanout.exchange.js';
import { HeadersExchange } from '../../../../lib/exchanges/headers.exchange.js';
import { RTopicExchange } from '../../../../lib/exchanges/rtopic.exchange.js';
import { TopicExchange } from '../../../../lib/exchanges/topic.exchange.js';
import { toProperties } from '../../../../lib/transports/rabbitmq/rabbitmq.codec.js';
import { assertSupported, bindingKey } from '../../../../lib/transports/rabbitmq/rabbitmq.topology.js';
import { LabelledExchange, ReversedExchange } from '../../../support/own-exchanges.js';
import { aMessage } from '../../support/message.js';

describe('bindingKey', () => {
  const headers = { name: 'h', handler: new HeadersExchange() };

  it('writes the headers of a binding as those of a message are written', () => {
    const values = {
      text: 'x',
      yes: true,
      one: 1,
      part: 0.5,
      large: 2 ** 53,
      largest: 1e300,
      least: -1e300,
      odd: 2 ** 50 + 0.5,
    };
    const { args } = bindingKey({ exchange: headers, headers: values });
    expect(args).toEqual({ ...toProperties(aMessage({ headers: values })).headers, 'x-match': 'all' });
    expect(args.large).toEqual({ '!': 'double', value: 2 ** 53 });
  });

  it('asks for a header of any value by one without a value', () => {
    expect(bindingKey({ exchange: headers, headers: { format: null }, match: 'any' })).toEqual({
      key: '',
      args: { format: null, 'x-match': 'any' },
    });
  });

  it('takes a missing pattern as the rule of the exchange does', () => {
    expect(bindingKey({ exchange: { name: 't', handler: new TopicExchange() } })).toEqual({ key: '#', args: {} });
    expect(bindingKey({ exchange: { name: 'r', handler: new RTopicExchange() } })).toEqual({ key: '', args: {} });
  });
});

const at = (handler: ExchangeHandler) => ({ exchange: { name: 'x', handler } });

describe('the binding of a rule', () => {
  it.each<readonly [string, ExchangeHandler, object, string, object]>([
    ['a topic', new TopicExchange(), { pattern: 'a.*' }, 'a.*', {}],
    ['a topic without a pattern', new TopicExchange(), {}, '#', {}],
    ['a direct one', new DirectExchange(), { pattern: 'a' }, 'a', {}],
    ['a fanout', new FanoutExchange(), {}, '', {}],
    ['headers', new HeadersExchange(), { headers: { a: 1 } }, '', { a: 1, 'x-match': 'all' }],
    ['a type of its own', new ReversedExchange(), { pattern: 'a' }, 'a', {}],
    ['a type of its own with headers', new LabelledExchange(), { headers: { a: 1 } }, '', { a: 1 }],
    [
      'a type of its own with headers and match',
      new LabelledExchange(),
      { headers: { a: 1 }, match: 'any' },
      '',
      { a: 1, 'x-match': 'any' },
    ],
  ])('%s', (_, handler, rule, key, args) => {
    expect(bindingKey({ ...rule, ...at(handler) })).toEqual({ key, args });
  });
});

describe('the type of a rule', () => {
  const source = (type: string) => ({
    bindings: [at(new ReversedExchange(type))],
    owner: 'o',
    deadLetterGroup: 'o',
    prefetch: 1,
  });

  it.each(['x-rtopic', 'tenant', 'x'.repeat(255)])('may be %s', (type) => {
    expect(() => assertSupported(source(type))).not.toThrow();
  });

  it.each(['', 'x'.repeat(256), 7 as never])('may not be %s, which cannot be asked for', (type) => {
    expect(() => assertSupported(source(type))).toThrow(ConfigurationError);
  });
});
