import type { Constructor } from '../core/constructor.js';
import { ConfigurationError } from '../core/errors.js';
import type { ExchangeHandler } from '../core/exchange.js';
import { DirectExchange } from './direct.exchange.js';
import { FanoutExchange } from './fanout.exchange.js';
import { HeadersExchange } from './headers.exchange.js';
import { RTopicExchange } from './rtopic.exchange.js';
import { TopicExchange } from './topic.exchange.js';

export const EXCHANGE_TYPES = ['topic', 'direct', 'fanout', 'headers', 'x-rtopic'] as const;
export type ExchangeType = (typeof EXCHANGE_TYPES)[number];

export function createExchangeHandler(type: ExchangeType): ExchangeHandler {
  switch (type) {
    case 'topic':
      return new TopicExchange();
    case 'direct':
      return new DirectExchange();
    case 'fanout':
      return new FanoutExchange();
    case 'headers':
      return new HeadersExchange();
    case 'x-rtopic':
      return new RTopicExchange();
    default:
      throw new ConfigurationError(`Unknown exchange type. Known: ${EXCHANGE_TYPES.join(', ')}.`);
  }
}

/** Whether a value from the options is meant as a user's own routing rule, or as the class of one. */
export function isExchangeHandler(value: unknown): value is ExchangeHandler | Constructor<ExchangeHandler> {
  if (typeof value === 'function') return value.prototype !== undefined;
  return (
    typeof value === 'object' && value !== null && typeof (value as Partial<ExchangeHandler>).matches === 'function'
  );
}
