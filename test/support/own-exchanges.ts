import type { BindingRule, ExchangeHandler, Routable } from '../../lib/core/exchange.js';
import { HeadersExchange, TopicExchange } from '../../lib/index.js';

/** A rule of the user's own: the publisher's topic is the pattern, and what a subscriber asks for is literal. */
export class ReversedExchange implements ExchangeHandler {
  readonly usesHeaders = false;
  private readonly rule = new TopicExchange();

  constructor(readonly type = 'x-test-reversed') {}

  assertRule(): void {}

  assertTopic(): void {}

  matches({ pattern = '' }: BindingRule, { topic, headers }: Routable): boolean {
    return this.rule.matches({ pattern: topic }, { topic: pattern, headers });
  }

  specificity(): readonly number[] {
    return [0];
  }

  overlap(): boolean {
    return true;
  }
}

/** A rule of the user's own that reads headers. */
export class LabelledExchange implements ExchangeHandler {
  readonly type = 'x-test-labelled';
  readonly usesHeaders = true;
  private readonly rule = new HeadersExchange();

  assertRule(rule: BindingRule): void {
    this.rule.assertRule(rule);
  }

  assertTopic(): void {}

  matches(rule: BindingRule, message: Routable): boolean {
    return this.rule.matches(rule, message);
  }

  specificity(): readonly number[] {
    return [0];
  }

  overlap(): boolean {
    return true;
  }
}
