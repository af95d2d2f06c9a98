import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { assertNoHeaders } from './header-rules.js';
import { assertWords } from './topic-limits.js';
import { topicMatches } from './topic-matcher.js';
import { RTopicIndex } from './word-index.js';

/**
 * The topic exchange with its roles reversed: the publisher's topic is a pattern (`*` one word, `#` any number of words) and
 * reaches every subscriber whose pattern, taken literally, fits it. `publish('orders.*')` reaches who subscribed to
 * `orders.created` and to `orders.paid`.
 *
 * Any two rules overlap, since `#` reaches both, and none is more specific than the other: so the members of a group are one
 * handler, which may name several patterns.
 */
export class RTopicExchange implements ExchangeHandler {
  readonly type = 'x-rtopic';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
    assertNoHeaders(this.type, rule);
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(rule: BindingRule, message: Routable): boolean {
    return topicMatches(message.topic, rule.pattern ?? '');
  }

  specificity(): readonly number[] {
    return [0];
  }

  overlap(): boolean {
    return true;
  }

  createIndex<T>(): BindingIndex<T> {
    // a subclass may match otherwise
    return this.matches === RTopicExchange.prototype.matches ? new RTopicIndex() : new ScanningIndex(this);
  }
}
