import { ConfigurationError } from '../../core/errors.js';
import { EventBusTestHarness } from './event-bus.test-harness.js';
import { describeFilter, type RecordFilter, toPredicate } from './record-filter.js';
import { topicsOf } from './test-ledger.js';
import type { DeadRecord, HandledRecord, MessageRecord, PublishedRecord } from './test-records.js';

/** Records that a failure prints one by one. */
const SHOWN = 10;

/** What else a matcher looks at. */
export interface MatchOptions {
  /** Exactly so many. Default: one or more. */
  readonly times?: number;
  /** Only those of this group. Nothing to `toHavePublished`. */
  readonly group?: string;
}

/**
 * The matchers, for the types of your test runner.
 *
 * @example
 * // Jest with @jest/globals: declare module 'expect' { interface Matchers<R> extends EventBusMatchers<R> {} }
 * // Jest with @types/jest:   declare global { namespace jest { interface Matchers<R> extends EventBusMatchers<R> {} } }
 * // Vitest:                  declare module 'vitest' { interface Matchers<T> extends EventBusMatchers<T> {} }
 */
export interface EventBusMatchers<R = unknown> {
  /** @param payload a part of it is enough, and asymmetric matchers can stand in it; default any */
  toHavePublished(what: RecordFilter<PublishedRecord>, payload?: unknown, options?: Pick<MatchOptions, 'times'>): R;
  /** As `toHavePublished`, of deliveries that a handler has succeeded with. */
  toHaveHandled(what: RecordFilter<HandledRecord>, payload?: unknown, options?: MatchOptions): R;
  /** As `toHavePublished`, of deliveries that were given up. */
  toHaveDeadLettered(what: RecordFilter<DeadRecord>, payload?: unknown, options?: MatchOptions): R;
}

/** What Jest and Vitest give a matcher as `this`. */
interface MatcherContext {
  readonly isNot?: boolean | undefined;
  equals(a: unknown, b: unknown, testers?: readonly unknown[]): boolean;
  readonly utils: {
    readonly iterableEquality?: unknown;
    readonly subsetEquality?: unknown;
    printExpected(value: unknown): string;
    printReceived(value: unknown): string;
  };
}

interface MatcherResult {
  readonly pass: boolean;
  message(): string;
}

interface Asked {
  readonly matcher: string;
  /** What the failure calls it: `published`. */
  readonly verb: string;
  readonly what: RecordFilter<never>;
  readonly payload: unknown;
  readonly options: MatchOptions | undefined;
}

function judge(context: MatcherContext, all: readonly MessageRecord[], asked: Asked): MatcherResult {
  const { what, payload, options: { times, group } = {} } = asked;
  const fits = toPredicate(what as RecordFilter<MessageRecord>);
  const ofGroup = group === undefined ? all : all.filter((record) => (record as HandledRecord).group === group);
  const candidates = ofGroup.filter(fits);
  const { iterableEquality, subsetEquality } = context.utils;
  const testers = [iterableEquality, subsetEquality].filter((tester) => tester !== undefined);
  const found =
    payload === undefined ? candidates : candidates.filter((one) => context.equals(one.payload, payload, testers));
  return {
    pass: times === undefined ? found.length > 0 : found.length === times,
    message: () => explain(context, asked, { all: ofGroup, candidates, found: found.length }),
  };
}

function explain(
  { isNot, utils }: MatcherContext,
  { matcher, verb, what, payload, options: { times, group } = {} }: Asked,
  seen: {
    readonly all: readonly MessageRecord[];
    readonly candidates: readonly MessageRecord[];
    readonly found: number;
  },
): string {
  const count = times === undefined ? '' : ` ${times} ${times === 1 ? 'time' : 'times'}`;
  const withPayload = payload === undefined ? '' : ` with the payload ${utils.printExpected(payload)}`;
  const by = group === undefined ? '' : ` by the group "${group}"`;
  const lines = [
    `expect(harness).${isNot ? 'not.' : ''}${matcher}(…)`,
    '',
    `Expected ${describeFilter(what)}${isNot ? ' not' : ''} to be ${verb}${by}${withPayload}${count}; it was ${seen.found} ${seen.found === 1 ? 'time' : 'times'}.`,
  ];
  if (seen.candidates.length > 0) {
    lines.push(`Of ${describeFilter(what)} ${verb}${by}:`);
    for (const { topic, payload: received } of seen.candidates.slice(0, SHOWN))
      lines.push(`  ${topic} ${utils.printReceived(received)}`);
    if (seen.candidates.length > SHOWN) lines.push(`  and ${seen.candidates.length - SHOWN} more`);
  } else lines.push(`In all ${verb}${by}: ${topicsOf(seen.all)}.`);
  return lines.join('\n');
}

function assertHarness(received: unknown, matcher: string): EventBusTestHarness {
  if (received instanceof EventBusTestHarness) return received;
  throw new ConfigurationError(`${matcher} needs an EventBusTestHarness: expect(harness).${matcher}(…).`);
}

/**
 * Matchers for `expect.extend` of Jest and Vitest.
 *
 * @example
 * expect.extend(eventBusMatchers);
 * expect(harness).toHavePublished(OrderPlaced, { id: '42' });
 * expect(harness).toHaveHandled('orders.*', undefined, { group: 'mail.welcome', times: 1 });
 * @publicApi
 */
export const eventBusMatchers = {
  toHavePublished(
    this: MatcherContext,
    received: unknown,
    what: RecordFilter<PublishedRecord>,
    payload?: unknown,
    options?: Pick<MatchOptions, 'times'>,
  ): MatcherResult {
    const matcher = 'toHavePublished';
    const all = assertHarness(received, matcher).published();
    return judge(this, all, { matcher, verb: 'published', what, payload, options });
  },

  toHaveHandled(
    this: MatcherContext,
    received: unknown,
    what: RecordFilter<HandledRecord>,
    payload?: unknown,
    options?: MatchOptions,
  ): MatcherResult {
    const matcher = 'toHaveHandled';
    const all = assertHarness(received, matcher).handled();
    return judge(this, all, { matcher, verb: 'handled', what, payload, options });
  },

  toHaveDeadLettered(
    this: MatcherContext,
    received: unknown,
    what: RecordFilter<DeadRecord>,
    payload?: unknown,
    options?: MatchOptions,
  ): MatcherResult {
    const matcher = 'toHaveDeadLettered';
    const all = assertHarness(received, matcher).deadLetters();
    return judge(this, all, { matcher, verb: 'dead-lettered', what, payload, options });
  },
} as const;
