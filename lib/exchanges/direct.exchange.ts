import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { DirectIndex } from './direct-index.js';
import { assertNoHeaders } from './header-rules.js';
import { assertWords } from './topic-limits.js';

/** Routes to the bindings that name exactly the topic. Wildcards are plain characters. */
export class DirectExchange implements ExchangeHandler {
  readonly type = 'direct';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    assertNoHeaders(this.type, rule);
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(rule: BindingRule, message: Routable): boolean {
    return (rule.pattern ?? '') === message.topic;
  }

  specificity(): readonly number[] {
    return [0];
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    return (a.pattern ?? '') === (b.pattern ?? '');
  }

  createIndex<T>(): BindingIndex<T> {
    // a subclass may match otherwise
    return this.matches === DirectExchange.prototype.matches ? new DirectIndex() : new ScanningIndex(this);
  }
}
