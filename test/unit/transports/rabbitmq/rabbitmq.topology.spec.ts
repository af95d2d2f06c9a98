import { describe, expect, it } from '@jest/globals';
import { HeadersExchange } from '../../../../lib/exchanges/headers.exchange.js';
import { RTopicExchange } from '../../../../lib/exchanges/rtopic.exchange.js';
import { TopicExchange } from '../../../../lib/exchanges/topic.exchange.js';
import { toProperties } from '../../../../lib/transports/rabbitmq/rabbitmq.codec.js';
import { bindingKey } from '../../../../lib/transports/rabbitmq/rabbitmq.topology.js';
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
