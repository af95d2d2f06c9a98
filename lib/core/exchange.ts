import type { BindingIndex } from './binding-index.js';
import type { HeaderValue, Message } from './message.js';

/**
 * The headers that a binding asks for, by name. `null` asks only that the header is there, whatever its value. Anything else
 * must be equal in value and type: `1` is neither `'1'` nor `true`.
 */
export type BindingHeaders = Readonly<Record<string, HeaderValue | null>>;

/** What one binding asks for. Topic-like exchanges read `pattern`, headers exchanges read `headers` and `match`. */
export interface BindingRule {
  readonly pattern?: string;
  readonly headers?: BindingHeaders;
  /** Whether all (default) or any of `headers` must be as asked for. */
  readonly match?: 'all' | 'any';
}

export type Routable = Pick<Message, 'topic' | 'headers'>;

/**
 * A pure routing rule. RabbitMQ declares an exchange of its `type`, and where it has no such type, each consumer drops what
 * `matches` refuses; memory and other transports route with `matches`; tests use it as the oracle for the broker.
 *
 * One of your own must hold no state and do no I/O, must not throw but where it says so, and must keep these promises, on which
 * groups and transports rely:
 *
 * - `matches` gives the same answer to the same rule and message each time, and its cost does not grow faster than the length of
 *   the pattern times that of the topic: both may come from strangers.
 * - When two rules match one message, they `overlap`, in whatever order they are given. To say so of rules that never meet is
 *   allowed: their handlers may then not be members of one group.
 * - A rule is at least as specific as any that matches all of what it matches, and more specific if that one matches more.
 * - Whatever `assertRule` and `assertTopic` let pass, the other methods accept.
 *
 * @example
 * // routes by the first word alone
 * class TenantExchange implements ExchangeHandler {
 *   readonly type = 'x-tenant';
 *   readonly usesHeaders = false;
 *   assertRule({ pattern = '' }: BindingRule): void {
 *     if (pattern.includes('.')) throw new ConfigurationError('A tenant is one word.');
 *   }
 *   assertTopic(): void {}
 *   matches({ pattern = '' }: BindingRule, { topic }: Routable): boolean {
 *     return topic.split('.', 1)[0] === pattern;
 *   }
 *   specificity(): readonly number[] {
 *     return [0];
 *   }
 *   overlap(a: BindingRule, b: BindingRule): boolean {
 *     return (a.pattern ?? '') === (b.pattern ?? '');
 *   }
 * }
 */
export interface ExchangeHandler {
  /** By which a broker knows it. */
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
  /**
   * An empty index over rules of this exchange, for transports that route by themselves: it must find exactly what `matches`
   * finds. Without it each binding is asked for each message, which is right but slow with thousands of them.
   */
  createIndex?<T>(): BindingIndex<T>;
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
