import type { Headers, Message } from './message.js';

/** What one binding asks for. Topic-like exchanges read `pattern`, headers exchanges read `headers` and `match`. */
export interface BindingRule {
  readonly pattern?: string;
  readonly headers?: Headers;
  /** Whether all (default) or any of `headers` must be present and equal. */
  readonly match?: 'all' | 'any';
}

export type Routable = Pick<Message, 'topic' | 'headers'>;

/**
 * A pure routing rule. RabbitMQ declares an exchange of its `type`; memory and other transports route with `matches`;
 * tests use it as the oracle for the broker. It must hold no state and do no I/O, and cost must not grow faster than
 * pattern length times topic length.
 */
export interface ExchangeHandler {
  readonly type: string;
  /** Whether the answer depends on headers; if not, a transport may remember it per topic. */
  readonly usesHeaders: boolean;
  /** Throws a ConfigurationError for a rule that can never work. */
  assertRule(rule: BindingRule): void;
  /** Throws a ConfigurationError for a topic that cannot be published. */
  assertTopic(topic: string): void;
  matches(rule: BindingRule, message: Routable): boolean;
  /** How specific a rule is, most important number first; the larger one gets the delivery inside one group. */
  specificity(rule: BindingRule): readonly number[];
  /** Whether some message matches both rules. */
  overlap(a: BindingRule, b: BindingRule): boolean;
}

/** A named exchange with its rule. */
export interface Exchange {
  readonly name: string;
  readonly handler: ExchangeHandler;
}

export interface Binding extends BindingRule {
  readonly exchange: Exchange;
}

/** Negative when `a` is less specific than `b`, 0 when they have equal right. */
export function compareSpecificity(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
