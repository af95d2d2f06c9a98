import type { BindingRule, ExchangeHandler } from '../core/exchange.js';
import { assertWords } from './topic-limits.js';

/** Routes everything to everybody; patterns and topics are carried but mean nothing. */
export class FanoutExchange implements ExchangeHandler {
  readonly type = 'fanout';
  readonly usesHeaders = false;

  assertRule(rule: BindingRule): void {
    assertWords('Pattern', rule.pattern ?? '');
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
}
