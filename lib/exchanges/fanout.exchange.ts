import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import type { BindingRule, ExchangeHandler } from '../core/exchange.js';
import { FanoutIndex } from './fanout-index.js';
import { assertNoHeaders } from './header-rules.js';
import { assertWords } from './topic-limits.js';

/** Routes everything to everybody; patterns and topics are carried but mean nothing. */
export class FanoutExchange implements ExchangeHandler {
  readonly type = 'fanout';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    assertNoHeaders(this.type, rule);
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(): boolean {
    return true;
  }

  specificity(): readonly number[] {
    return [0];
  }

  overlap(): boolean {
    return true;
  }

  createIndex<T>(): BindingIndex<T> {
    // a subclass may match otherwise
    return this.matches === FanoutExchange.prototype.matches ? new FanoutIndex() : new ScanningIndex(this);
  }
}
