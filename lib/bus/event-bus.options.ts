import { ConfigurationError } from '../core/errors.js';
import type { ExchangeHandler } from '../core/exchange.js';
import { DEFAULTS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';
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
import type { Serializer } from '../core/serializer.js';
import { globMatches } from '../core/text.js';
import type { Transport } from '../core/transport.js';

export type UnroutablePolicy = 'warn' | 'reject' | 'ignore';

export interface ConsumeGroupOptions {
  /** `false`: declared, so that nothing becomes unroutable, but not consumed by this process. */
  readonly enabled?: boolean;
  /** Handlers of this group that run at one time in this process. Default 10. */
  readonly concurrency?: number;
  /** Unsettled deliveries that the broker may send ahead. Default 2 × concurrency. */
  readonly prefetch?: number;
  /** How long a handler may run, in milliseconds. Default 60 000. */
  readonly timeoutMs?: number;
  /** Policy for failures. Default 1 s, 5 s, 25 s, 125 s, 600 s, then dead-lettered. `false`: one attempt. */
  readonly retry?: false | RetryPolicy;
}

/** Options of one bus; every field is optional and `forRoot()` without any is a bus in memory. */
export interface EventBusOptions {
  /** Names the queues and the source of events. Required by durable transports. */
  readonly service?: string;
  /** Prefix of every declared name: preview environments, several developers on one broker. */
  readonly namespace?: string;
  /** `'memory:'` (default), `'amqp://…'`, options with a `type`, or an own instance. */
  readonly transport?: string | TransportOptions | Transport;
  /** Name of the exchange, or its name and type, or an own routing rule. Default: topic exchange `events`. */
  readonly exchange?: string | ExchangeOptions | ExchangeHandler;
  /** Default `'json'`. */
  readonly serializer?: 'json' | Serializer;
  readonly startup?: {
    /** `wait` (default): the app boots when the broker is ready, or fails. `background`: boots at once, publishes wait. */
    readonly mode?: 'wait' | 'background';
    /** How long `wait` waits, in milliseconds. Default 30 000. */
    readonly timeoutMs?: number;
  };
  readonly publish?: {
    /** Bound for each publish, in milliseconds. Default 10 000. */
    readonly timeoutMs?: number;
    /** Unconfirmed messages in flight. Default 1 000. */
    readonly window?: number;
    /** When no group gets an event. Default `warn`: once per topic, and counted. */
    readonly unroutable?: UnroutablePolicy;
    /** What may wait while the broker is away or the window is full. */
    readonly buffer?: {
      /** Default 10 000. */
      readonly messages?: number;
      /** Default 64 MiB. */
      readonly bytes?: number;
      /** `reject` (default) the publish, or let it `wait` for room until its timeout. */
      readonly onFull?: 'reject' | 'wait';
    };
    /** Largest body, in bytes. Default 1 MiB. */
    readonly maxMessageBytes?: number;
  };
  readonly consume?: Omit<ConsumeGroupOptions, 'enabled'> & {
    /** Globs of the groups that this process consumes; `false` for none. Default: all. */
    readonly enabled?: boolean | readonly string[];
    /** Handlers that run at one time in this process, all groups together. Default 100. */
    readonly maxConcurrency?: number;
    /** Policy for messages that no handler here understands (rolling deploys). Default 10 × 30 s, then dead. */
    readonly unmatched?: RetryPolicy;
    /** Per group (glob): operations without a rebuild. Wins over the decorator. */
    readonly groups?: Readonly<Record<string, ConsumeGroupOptions>>;
  };
  readonly shutdown?: {
    /** By when a drain and a close have ended, in milliseconds. Default 10 000. */
    readonly deadlineMs?: number;
  };
  /** `false`: consumers wait for `bus.start()`. Default `true`. */
  readonly autoStart?: boolean;
  /** Default: Nest's Logger. */
  readonly logger?: BusLogger;
}

export interface ExchangeOptions {
  readonly name?: string;
  readonly type?: 'topic' | 'direct' | 'fanout' | 'headers';
}

export interface TransportOptions {
  /** Name of a registered transport: `'memory'`, `'rabbitmq'`. */
  readonly type: string;
  readonly [option: string]: unknown;
}

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
const PREFETCH = integer(1, 65_535);
const NAME = text(/^[\w.:-]{1,200}$/, '1 to 200 letters, digits or . : _ -');

const GROUP_SHAPE = { concurrency: COUNT, prefetch: PREFETCH, timeoutMs: MS, retry: retryOption };

function isHandlerLike(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && typeof (value as Partial<ExchangeHandler>).matches === 'function'
  );
}

function isTransportLike(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Partial<Transport>).publish === 'function';
}

const transportCheck = either((value) => {
  if (isTransportLike(value)) return ANY;
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
  if (isHandlerLike(value)) return ANY;
  return typeof value === 'string'
    ? NAME
    : shape({ name: NAME, type: oneOf(['topic', 'direct', 'fanout', 'headers']) });
});

const serializerCheck = either((value) =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Serializer>).encode === 'function'
    ? ANY
    : oneOf(['json']),
);

const loggerCheck: Check = (value, path, problems) => {
  if (typeof (value as Partial<BusLogger> | null)?.warn !== 'function')
    problems.push(`${path} must be a logger with log, warn and error.`);
};

const OPTIONS_SHAPE = shape({
  service: NAME,
  namespace: NAME,
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
  autoStart: bool,
  logger: loggerCheck,
  // read by the layers around the bus
  globalEnhancers: oneOf(['none', 'inherit']),
  transports: listOf(shape({ type: text(), schemes: listOf(text()), load: func })),
});

export const HANDLER_POLICY_SHAPE = { ...GROUP_SHAPE, retry: retryOption } as const;
export const CHECKS = { NAME, func };

/**
 * Checks everything and fills in the defaults.
 *
 * @throws ConfigurationError with all problems at once
 */
export function resolveOptions(raw: EventBusOptions = {}): ResolvedOptions {
  const problems: string[] = [];
  OPTIONS_SHAPE(raw, '', problems);
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
      maxMessageBytes: publish?.maxMessageBytes ?? 1_048_576,
      buffer: {
        messages: publish?.buffer?.messages ?? DEFAULTS.bufferMessages,
        bytes: publish?.buffer?.bytes ?? DEFAULTS.bufferBytes,
        onFull: publish?.buffer?.onFull ?? 'reject',
      },
    },
    consume: {
      enabled: enabled ?? true,
      maxConcurrency: maxConcurrency ?? DEFAULTS.maxConcurrency,
      unmatched: unmatched ?? fixed({ attempts: DEFAULTS.unmatchedAttempts, delayMs: DEFAULTS.unmatchedDelayMs }),
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
  const concurrency = pick('concurrency') ?? DEFAULTS.concurrency;
  const retry = pick('retry');
  const allowed = Array.isArray(consume.enabled)
    ? consume.enabled.some((glob: string) => globMatches(glob, group))
    : consume.enabled === true;
  return {
    enabled: pick('enabled') ?? allowed,
    concurrency,
    prefetch: pick('prefetch') ?? Math.min(65_535, 2 * concurrency),
    timeoutMs: pick('timeoutMs') ?? DEFAULTS.handlerTimeoutMs,
    retry: retry === false ? NO_RETRY : (retry ?? DEFAULT_RETRY),
  };
}
