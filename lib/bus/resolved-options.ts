import type { Constructor } from '../core/constructor.js';
import { ConfigurationError } from '../core/errors.js';
import type { ExchangeHandler } from '../core/exchange.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import { DEFAULT_RETRY, fixed, NO_RETRY, type RetryPolicy } from '../core/retry-policy.js';
import { globMatches } from '../core/text.js';
import type { CachePolicy, ConsumeGroupOptions, EventBusOptions } from './event-bus.options.js';
import type { BatchOptions } from './group-definition.js';
import { MAX_PREFETCH, optionProblems } from './option-checks.js';
import type { RecordOptions } from './subscription-cache.js';
import type { UnroutableMessage } from './unroutable-message.js';
import type { UnroutablePolicy } from './unroutable-policy.js';

const UNMATCHED = fixed({ attempts: DEFAULTS.unmatchedAttempts, delayMs: DEFAULTS.unmatchedDelayMs });

export interface GroupPolicy {
  readonly enabled: boolean;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
}

/** An exchange of the options. */
export interface ResolvedExchange {
  readonly name: string;
  readonly type: string;
  /** Takes the place of the type. */
  readonly handler?: ExchangeHandler | Constructor<ExchangeHandler>;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly service: string | undefined;
  readonly namespace: string | undefined;
  readonly exchange: ResolvedExchange;
  /** Those besides the main one. */
  readonly exchanges: readonly ResolvedExchange[];
  readonly startup: { readonly mode: 'wait' | 'background'; readonly timeoutMs: number };
  readonly publish: {
    readonly timeoutMs: number;
    readonly window: number;
    readonly unroutable: UnroutablePolicy;
    readonly unroutableStore: { readonly messages: number; readonly bytes: number };
    readonly onUnroutable?: (unroutable: UnroutableMessage) => unknown;
    readonly maxDepth: number;
    readonly maxMessageBytes: number;
    readonly buffer: { readonly messages: number; readonly bytes: number; readonly onFull: 'reject' | 'wait' };
  };
  readonly consume: {
    readonly enabled: boolean | readonly string[];
    readonly maxConcurrency: number;
    readonly asyncContext: boolean;
    readonly unmatched: RetryPolicy;
    readonly defaults: Omit<ConsumeGroupOptions, 'enabled'>;
    readonly groups: Readonly<Record<string, ConsumeGroupOptions>>;
  };
  readonly request: { readonly timeoutMs: number; readonly errorStacks: boolean };
  readonly cache:
    | { readonly policy: CachePolicy; readonly patterns: readonly string[]; readonly limits: RecordOptions }
    | undefined;
  readonly shutdown: { readonly deadlineMs: number };
  readonly rendezvous: { readonly leaseMs: number };
  readonly autoStart: boolean;
}

/**
 * Checks everything and fills in the defaults.
 *
 * @throws ConfigurationError with all problems at once
 */
export function resolveOptions(raw: EventBusOptions = {}): ResolvedOptions {
  const problems = optionProblems(raw);
  if (problems.length > 0) throw new ConfigurationError(problems);
  const { startup, publish, consume, shutdown } = raw;
  const { enabled, maxConcurrency, asyncContext, unmatched, groups, ...defaults } = consume ?? {};
  return Object.freeze({
    service: raw.service,
    namespace: raw.namespace,
    exchange: resolveExchange(raw.exchange),
    exchanges: Object.entries(raw.exchanges ?? {}).map(([name, one]) => ({
      ...resolveExchange(typeof one === 'string' ? { type: one } : one),
      name,
    })),
    startup: { mode: startup?.mode ?? 'wait', timeoutMs: startup?.timeoutMs ?? DEFAULTS.startupTimeoutMs },
    publish: {
      timeoutMs: publish?.timeoutMs ?? DEFAULTS.publishTimeoutMs,
      window: publish?.window ?? DEFAULTS.publishWindow,
      unroutable: publish?.unroutable ?? 'warn',
      unroutableStore: {
        messages: publish?.unroutableStore?.messages ?? DEFAULTS.unroutableMessages,
        bytes: publish?.unroutableStore?.bytes ?? DEFAULTS.unroutableBytes,
      },
      ...(publish?.onUnroutable && { onUnroutable: publish.onUnroutable }),
      maxDepth: publish?.maxDepth ?? DEFAULTS.maxDepth,
      maxMessageBytes: publish?.maxMessageBytes ?? LIMITS.messageBytes,
      buffer: {
        messages: publish?.buffer?.messages ?? DEFAULTS.bufferMessages,
        bytes: publish?.buffer?.bytes ?? DEFAULTS.bufferBytes,
        onFull: publish?.buffer?.onFull ?? 'reject',
      },
    },
    consume: {
      enabled: enabled ?? true,
      maxConcurrency: maxConcurrency ?? DEFAULTS.maxConcurrency,
      asyncContext: asyncContext ?? true,
      unmatched: unmatched === false ? NO_RETRY : (unmatched ?? UNMATCHED),
      defaults,
      groups: groups ?? {},
    },
    request: {
      timeoutMs: raw.request?.timeoutMs ?? DEFAULTS.requestTimeoutMs,
      errorStacks: raw.request?.errorStacks ?? false,
    },
    cache: raw.cache && resolveCache(raw.cache),
    shutdown: { deadlineMs: shutdown?.deadlineMs ?? DEFAULTS.shutdownDeadlineMs },
    rendezvous: { leaseMs: raw.rendezvous?.leaseMs ?? DEFAULTS.rendezvousLeaseMs },
    autoStart: raw.autoStart ?? true,
  });
}

function resolveCache({
  patterns = [],
  policy = 'on-demand',
  ...limits
}: NonNullable<EventBusOptions['cache']>): ResolvedOptions['cache'] {
  return { policy, patterns: typeof patterns === 'string' ? [patterns] : patterns, limits };
}

function resolveExchange(raw: EventBusOptions['exchange']): ResolvedOptions['exchange'] {
  if (raw === undefined) return { name: DEFAULTS.exchange, type: 'topic' };
  if (typeof raw === 'string') return { name: raw, type: 'topic' };
  if (typeof raw === 'function') return { name: DEFAULTS.exchange, type: 'topic', handler: raw };
  if ('matches' in raw) return { name: DEFAULTS.exchange, type: raw.type, handler: raw };
  const { name = DEFAULTS.exchange, type = 'topic', handler } = raw;
  return { name, type, ...(handler && { handler }) };
}

/** The name as declared: with the namespace in front. */
export function qualify(options: { readonly namespace?: string | undefined }, name: string): string {
  return options.namespace === undefined ? name : `${options.namespace}.${name}`;
}

/** The policy of a group: operations (`consume.groups`) over decorator over bus over built-in defaults. */
export function resolvePolicy(
  options: ResolvedOptions,
  group: string,
  own: Omit<ConsumeGroupOptions, 'enabled'>,
  batch?: BatchOptions,
): GroupPolicy {
  const { consume } = options;
  const operations = Object.entries(consume.groups)
    .filter(([glob]) => globMatches(glob, group))
    .map(([, settings]) => settings);
  const pick = <K extends keyof ConsumeGroupOptions>(key: K): ConsumeGroupOptions[K] => {
    const level = [...operations.toReversed(), own, consume.defaults].find(
      (o: ConsumeGroupOptions) => o[key] !== undefined,
    );
    return (level as ConsumeGroupOptions | undefined)?.[key];
  };
  const concurrency = pick('concurrency') ?? (batch ? 1 : DEFAULTS.concurrency);
  const running = (batch?.size ?? 1) * concurrency;
  const prefetch = pick('prefetch') ?? 2 * running;
  const retry = pick('retry');
  const allowed = Array.isArray(consume.enabled)
    ? consume.enabled.some((glob: string) => globMatches(glob, group))
    : consume.enabled === true;
  return {
    enabled: pick('enabled') ?? allowed,
    concurrency,
    // with less than what runs at one time, no batch would ever be full
    prefetch: Math.min(MAX_PREFETCH, batch ? Math.max(prefetch, running) : prefetch),
    timeoutMs: pick('timeoutMs') ?? DEFAULTS.handlerTimeoutMs,
    retry: retry === false ? NO_RETRY : (retry ?? DEFAULT_RETRY),
  };
}
