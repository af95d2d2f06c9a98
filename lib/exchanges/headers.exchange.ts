import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import { ConfigurationError } from '../core/errors.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { type AskedHeader, askedOf, assertAskedHeaders, canMeet, isGiven } from './header-rules.js';
import { HeadersIndex } from './headers-index.js';
import { assertWords } from './topic-limits.js';

/**
 * Routes by headers: all (or any) of those that a binding names must be there, and equal in value and type. `null` in a binding
 * asks only that the header is there. All numbers are of one type: `1` and `1.0` are equal, as are `0` and `-0`.
 */
export class HeadersExchange implements ExchangeHandler {
  readonly type = 'headers';
  readonly usesHeaders = true;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    const { match = 'all', headers = {} } = rule;
    if (match !== 'all' && match !== 'any') throw new ConfigurationError(`match must be 'all' or 'any'.`);
    assertAskedHeaders(headers);
    if (match === 'any' && Object.keys(headers).length === 0) {
      throw new ConfigurationError(`match: 'any' without headers never matches. Name at least one header.`);
    }
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(rule: BindingRule, { headers }: Routable): boolean {
    const asked = askedOf(rule);
    return rule.match === 'any'
      ? asked.some((one) => isGiven(one, headers))
      : asked.every((one) => isGiven(one, headers));
  }

  /**
   * What matches less is more specific: a subset never loses to what contains it. Of equally many headers, those with a value
   * win over those that must only be there.
   */
  specificity(rule: BindingRule): readonly number[] {
    const asked = askedOf(rule);
    if (asked.length === 0) return [0, 0, 0];
    const values = asked.filter(([, value]) => value !== null).length;
    return rule.match === 'any' && asked.length > 1 ? [1, -asked.length, values] : [2, asked.length, values];
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    const left = askedOf(a);
    const right = askedOf(b);
    const agrees = (one: AskedHeader, others: readonly AskedHeader[]): boolean =>
      others.every((other) => canMeet(one, other));
    if (a.match === 'any' && b.match === 'any') return left.some((l) => right.some((r) => canMeet(l, r)));
    if (a.match === 'any') return left.some((l) => agrees(l, right));
    if (b.match === 'any') return right.some((r) => agrees(r, left));
    return left.every((l) => agrees(l, right));
  }

  createIndex<T>(): BindingIndex<T> {
    // a subclass may match otherwise
    return this.matches === HeadersExchange.prototype.matches ? new HeadersIndex() : new ScanningIndex(this);
  }
}
