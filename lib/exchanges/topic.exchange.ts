import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';
import { assertWords } from './topic-limits.js';
import { patternsOverlap, topicMatches, topicSpecificity } from './topic-matcher.js';

/** Routes by pattern: `*` stands for one word, `#` for any number of words. */
export class TopicExchange implements ExchangeHandler {
  readonly type = 'topic';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '#');
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
}
