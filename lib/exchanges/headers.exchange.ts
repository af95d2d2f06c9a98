import { ConfigurationError } from '../core/errors.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { isReservedHeader } from '../core/headers.js';
import { assertWords } from './topic-limits.js';

/** Routes by headers: all (or any) of those that a binding names must be present and equal. */
export class HeadersExchange implements ExchangeHandler {
  readonly type = 'headers';
  readonly usesHeaders = true;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    const reserved = Object.keys(rule.headers ?? {}).find(isReservedHeader);
    if (reserved !== undefined)
      throw new ConfigurationError(`Header "${reserved}" is reserved and cannot be bound to.`);
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(rule: BindingRule, message: Routable): boolean {
    const wanted = Object.entries(rule.headers ?? {});
    const holds = ([name, value]: [string, unknown]): boolean =>
      Object.hasOwn(message.headers, name) && message.headers[name] === value;
    return rule.match === 'any' ? wanted.some(holds) : wanted.every(holds);
  }

  specificity(rule: BindingRule): readonly number[] {
    return [Object.keys(rule.headers ?? {}).length, rule.match === 'any' ? 0 : 1];
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    if (a.match === 'any' || b.match === 'any') return true;
    return Object.entries(a.headers ?? {}).every(
      ([name, value]) => !Object.hasOwn(b.headers ?? {}, name) || b.headers?.[name] === value,
    );
  }
}
