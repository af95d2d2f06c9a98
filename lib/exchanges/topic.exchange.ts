import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { assertNoHeaders } from './header-rules.js';
import { assertWords } from './topic-limits.js';
import { patternsOverlap, topicMatches, topicSpecificity } from './topic-matcher.js';
import { TopicIndex } from './word-index.js';

/** Routes by pattern: `*` stands for one word, `#` for any number of words. */
export class TopicExchange implements ExchangeHandler {
  readonly type = 'topic';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '#');
    assertNoHeaders(this.type, rule);
  }

  assertTopic(topic: string): void {
    assertWords('Topic', topic);
  }

  matches(rule: BindingRule, message: Routable): boolean {
    return topicMatches(rule.pattern ?? '#', message.topic);
  }

  specificity(rule: BindingRule): readonly number[] {
    return topicSpecificity(rule.pattern ?? '#');
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    return patternsOverlap(a.pattern ?? '#', b.pattern ?? '#');
  }

  createIndex<T>(): BindingIndex<T> {
    // a subclass may match otherwise
    return this.matches === TopicExchange.prototype.matches ? new TopicIndex() : new ScanningIndex(this);
  }
}
