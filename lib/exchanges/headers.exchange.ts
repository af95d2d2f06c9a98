import { ConfigurationError } from '../core/errors.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { isHeaderValue, isReservedHeader } from '../core/headers.js';
import { assertWords } from './topic-limits.js';

/** Routes by headers: all (or any) of those that a binding names must be present and equal. */
export class HeadersExchange implements ExchangeHandler {
  readonly type = 'headers';
  readonly usesHeaders = true;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    const { match = 'all', headers = {} } = rule;
    if (match !== 'all' && match !== 'any') throw new ConfigurationError(`match must be 'all' or 'any'.`);
    if (match === 'any' && Object.keys(headers).length === 0) {
      throw new ConfigurationError(`match: 'any' without headers never matches. Name at least one header.`);
    }
    for (const [name, value] of Object.entries(headers)) {
      if (!isHeaderValue(value))
        throw new ConfigurationError(`Header "${name}" must be a string, a boolean or a finite number.`);
    }
    const reserved = Object.keys(headers).find(isReservedHeader);
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

  /** What matches less is more specific: a subset never loses to what contains it. */
  specificity(rule: BindingRule): readonly number[] {
    const count = Object.keys(rule.headers ?? {}).length;
    if (count === 0) return [0, 0];
    return rule.match === 'any' && count > 1 ? [1, -count] : [2, count];
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    const left = Object.entries(a.headers ?? {});
    const right = Object.entries(b.headers ?? {});
    const agrees = ([name, value]: [string, unknown], other: [string, unknown][]): boolean =>
      other.every(([n, v]) => n !== name || v === value);
    if (a.match === 'any' && b.match === 'any') return left.some((l) => right.some((r) => agrees(l, [r])));
    if (a.match === 'any') return left.some((l) => agrees(l, right));
    if (b.match === 'any') return right.some((r) => agrees(r, left));
    return left.every((l) => agrees(l, right));
  }
}
