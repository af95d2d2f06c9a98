import { ConfigurationError } from '../core/errors.js';
import type { ExchangeHandler } from '../core/exchange.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import {
  ANY,
  bool,
  type Check,
  either,
  func,
  integer,
  listOf,
  oneOf,
  recordOf,
  retryOption,
  shape,
  text,
} from '../core/options.js';
import { DEFAULT_RETRY, fixed, NO_RETRY, type RetryPolicy } from '../core/retry-policy.js';
import { globMatches } from '../core/text.js';
import type { Transport } from '../core/transport.js';
import { isExchangeHandler } from '../exchanges/exchange.factory.js';
import type {
  ConsumeGroupOptions,
  EventBusOptions,
  ExchangeOptions,
  TransportOptions,
  UnroutablePolicy,
} from './event-bus.options.js';
import type { BatchOptions } from './group-definition.js';

export interface GroupPolicy {
  readonly enabled: boolean;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  readonly service: string | undefined;
  readonly namespace: string | undefined;
  readonly exchange: {
    readonly name: string;
    readonly type: NonNullable<ExchangeOptions['type']>;
    readonly handler?: ExchangeHandler;
  };
  readonly startup: { readonly mode: 'wait' | 'background'; readonly timeoutMs: number };
  readonly publish: {
    readonly timeoutMs: number;
    readonly window: number;
    readonly unroutable: UnroutablePolicy;
    readonly maxMessageBytes: number;
    readonly buffer: { readonly messages: number; readonly bytes: number; readonly onFull: 'reject' | 'wait' };
  };
  readonly consume: {
    readonly enabled: boolean | readonly string[];
    readonly maxConcurrency: number;
    readonly unmatched: RetryPolicy;
    readonly defaults: Omit<ConsumeGroupOptions, 'enabled'>;
    readonly groups: Readonly<Record<string, ConsumeGroupOptions>>;
  };
  readonly shutdown: { readonly deadlineMs: number };
  readonly autoStart: boolean;
}

const MS = integer(1, 86_400_000);
const COUNT = integer(1, 1_000_000);
const MAX_PREFETCH = 65_535;
const PREFETCH = integer(1, MAX_PREFETCH);
const NAME = text(/^[\w.:-]{1,200}$/, '1 to 200 letters, digits or . : _ -');
/** Parts of queue names, which have 255 bytes in all. */
const PREFIX = text(/^[\w.:-]{1,60}$/, '1 to 60 letters, digits or . : _ -');

const GROUP_SHAPE = { concurrency: COUNT, prefetch: PREFETCH, timeoutMs: MS, retry: retryOption };

/** An object of the user's own that has all of these. */
function withMethods(names: readonly string[]): Check {
  return (value, path, problems) => {
    const object = value as Readonly<Record<string, unknown>> | null;
    const missing = names.filter((name) => typeof object?.[name] !== 'function');
    if (missing.length > 0)
      problems.push(`${path} must have the method${missing.length === 1 ? '' : 's'} ${missing.join(', ')}.`);
  };
}

/** Whether a value from the options is a user's own transport. */
export function isTransport(value: unknown): value is Transport {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Transport>).publish === 'function';
}

const transportCheck = either((value) => {
  if (isTransport(value)) return ANY;
  if (typeof value === 'string') return text();
  return (options, path, problems) => {
    if (
      typeof options !== 'object' ||
      options === null ||
      typeof (options as Partial<TransportOptions>).type !== 'string'
    ) {
      problems.push(
        `${path} must be 'memory:', a URL such as 'amqp://…', an object with a type, or a transport instance.`,
      );
    }
  };
});

const exchangeCheck = either((value) => {
  if (isExchangeHandler(value)) return withMethods(['assertRule', 'assertTopic', 'matches', 'specificity', 'overlap']);
  return typeof value === 'string'
    ? NAME
    : shape({ name: NAME, type: oneOf(['topic', 'direct', 'fanout', 'headers']) });
});

const serializerCheck = either((value) =>
  typeof value === 'object' && value !== null ? withMethods(['encode', 'decode']) : oneOf(['json']),
);

const loggerCheck = withMethods(['log', 'warn', 'error']);

const OPTIONS_SHAPE = shape({
  service: PREFIX,
  namespace: PREFIX,
  transport: transportCheck,
  exchange: exchangeCheck,
  serializer: serializerCheck,
  startup: shape({ mode: oneOf(['wait', 'background']), timeoutMs: MS }),
  publish: shape({
    timeoutMs: MS,
    window: integer(1, 100_000),
    unroutable: oneOf(['warn', 'reject', 'ignore']),
    maxMessageBytes: integer(1, 128 * 1_048_576),
    buffer: shape({ messages: integer(0, 10_000_000), bytes: integer(0, 2 ** 40), onFull: oneOf(['reject', 'wait']) }),
  }),
  consume: shape({
    ...GROUP_SHAPE,
    enabled: either((value) => (Array.isArray(value) ? listOf(text()) : bool)),
    maxConcurrency: COUNT,
    unmatched: retryOption,
    groups: recordOf(shape({ ...GROUP_SHAPE, enabled: bool })),
  }),
  shutdown: shape({ deadlineMs: MS }),
  inbox: withMethods(['claim', 'done', 'forget']),
  autoStart: bool,
  logger: loggerCheck,
  // read by the layers around the bus
  globalEnhancers: oneOf(['none', 'inherit']),
  transports: listOf(shape({ type: text(), schemes: listOf(text()), load: func })),
});

export const HANDLER_POLICY_SHAPE = { ...GROUP_SHAPE, retry: retryOption } as const;
export const CHECKS = { NAME, func };

const UNMATCHED = fixed({ attempts: DEFAULTS.unmatchedAttempts, delayMs: DEFAULTS.unmatchedDelayMs });

/** All that is wrong with the options, without what only the transport can know. */
export function optionProblems(raw: EventBusOptions): string[] {
  const problems: string[] = [];
  OPTIONS_SHAPE(raw, '', problems);
  return problems;
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
  const { enabled, maxConcurrency, unmatched, groups, ...defaults } = consume ?? {};
  return Object.freeze({
    service: raw.service,
    namespace: raw.namespace,
    exchange: resolveExchange(raw.exchange),
    startup: { mode: startup?.mode ?? 'wait', timeoutMs: startup?.timeoutMs ?? DEFAULTS.startupTimeoutMs },
    publish: {
      timeoutMs: publish?.timeoutMs ?? DEFAULTS.publishTimeoutMs,
      window: publish?.window ?? DEFAULTS.publishWindow,
      unroutable: publish?.unroutable ?? 'warn',
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
      unmatched: unmatched === false ? NO_RETRY : (unmatched ?? UNMATCHED),
      defaults,
      groups: groups ?? {},
    },
    shutdown: { deadlineMs: shutdown?.deadlineMs ?? DEFAULTS.shutdownDeadlineMs },
    autoStart: raw.autoStart ?? true,
  });
}

function resolveExchange(raw: EventBusOptions['exchange']): ResolvedOptions['exchange'] {
  if (raw === undefined) return { name: DEFAULTS.exchange, type: 'topic' };
  if (typeof raw === 'string') return { name: raw, type: 'topic' };
  if ('matches' in raw) return { name: DEFAULTS.exchange, type: 'topic', handler: raw };
  return { name: raw.name ?? DEFAULTS.exchange, type: raw.type ?? 'topic' };
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
