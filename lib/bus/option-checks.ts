import { DEFAULTS, LIMITS } from '../core/limits.js';
import {
  ANY,
  anyText,
  bool,
  type Check,
  either,
  func,
  integer,
  listOf,
  madeWithMethods,
  oneOf,
  recordOf,
  retryOption,
  type Shape,
  shape,
  text,
  withMethods,
} from '../core/options.js';
import type { Transport } from '../core/transport.js';
import { EXCHANGE_TYPES, isExchangeHandler } from '../exchanges/exchange.factory.js';
import { SERIALIZER_NAMES } from '../serializers/serializer.factory.js';
import { STARTUP_POLICY_CHECK } from '../startup/startup-policy.checks.js';
import type { EventBusOptions, TransportOptions } from './event-bus.options.js';
import { UNROUTABLE_POLICIES } from './unroutable-policy.js';

const MS = integer(1, 86_400_000);
const COUNT = integer(1, 1_000_000);
export const MAX_PREFETCH = 65_535;
const PREFETCH = integer(1, MAX_PREFETCH);
const NAME = text(/^[\w.:-]{1,200}$/, '1 to 200 letters, digits or . : _ -');
/** Parts of queue names, which have 255 bytes in all. */
const PREFIX = text(/^[\w.:-]{1,60}$/, '1 to 60 letters, digits or . : _ -');

const GROUP_SHAPE = { concurrency: COUNT, prefetch: PREFETCH, timeoutMs: MS, retry: retryOption };

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
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

const HANDLER_METHODS = ['assertRule', 'assertTopic', 'matches', 'specificity', 'overlap'] as const;
const SERIALIZER_METHODS = ['encode', 'decode'] as const;

const serializerCheck = either((value) =>
  typeof value === 'string' || !isObject(value) ? oneOf(SERIALIZER_NAMES) : madeWithMethods(SERIALIZER_METHODS),
);

const handlerCheck = madeWithMethods(HANDLER_METHODS);

/** One of both says how it routes. */
function typeOrHandler(check: Check): Check {
  return (value, path, problems) => {
    check(value, path, problems);
    const { type, handler } = (value ?? {}) as { readonly type?: unknown; readonly handler?: unknown };
    if (type !== undefined && handler !== undefined)
      problems.push(`${path} has a type and a handler: leave the type out, the handler has its own.`);
  };
}

function exchangeChecks({ exchangeHandlers = [] }: Pick<EventBusOptions, 'exchangeHandlers'>): Shape {
  const isNamed = Array.isArray(exchangeHandlers) && exchangeHandlers.length > 0;
  // the types of classes are known when they have been made
  const type = isNamed ? text() : oneOf(EXCHANGE_TYPES);
  return {
    exchange: either((value) => {
      if (isExchangeHandler(value)) return handlerCheck;
      return typeof value === 'string' ? NAME : typeOrHandler(shape({ name: NAME, type, handler: handlerCheck }));
    }),
    exchanges: recordOf(
      either((value) => {
        if (isExchangeHandler(value)) return handlerCheck;
        return typeof value === 'string' ? type : typeOrHandler(shape({ type, handler: handlerCheck }));
      }),
    ),
    exchangeHandlers: listOf(handlerCheck),
  };
}

const loggerCheck = withMethods(['log', 'warn', 'error']);

export const CACHE_LIMITS = {
  capacity: COUNT,
  capacityBytes: integer(1, 2 ** 40),
  overflow: oneOf(['drop-oldest', 'drop-newest', 'error']),
} as const;

const cacheShape = shape({
  ...CACHE_LIMITS,
  patterns: either((value) => (typeof value === 'string' ? anyText : listOf(anyText, 1))),
  policy: oneOf(['off', 'on-connect', 'on-demand']),
  exchange: text(),
});

const cacheCheck: Check = (value, path, problems) => {
  cacheShape(value, path, problems);
  const { patterns, policy } = (value ?? {}) as { readonly patterns?: unknown; readonly policy?: unknown };
  if (typeof value === 'object' && value !== null && patterns === undefined && policy !== 'off')
    problems.push(`${path}.patterns is required: what the cache keeps. Set ['#'] for everything.`);
};

const OPTIONS: Shape = {
  service: PREFIX,
  namespace: PREFIX,
  transport: transportCheck,
  serializer: serializerCheck,
  accept: listOf(serializerCheck),
  startup: shape({ mode: oneOf(['wait', 'background']), timeoutMs: MS, policy: STARTUP_POLICY_CHECK }),
  publish: shape({
    timeoutMs: MS,
    window: integer(1, 100_000),
    unroutable: oneOf(UNROUTABLE_POLICIES),
    unroutableStore: shape({ messages: COUNT, bytes: integer(1, 2 ** 40) }),
    onUnroutable: func,
    maxDepth: integer(1, LIMITS.chainDepth),
    maxMessageBytes: integer(1, 128 * 1_048_576),
    buffer: shape({ messages: integer(0, 10_000_000), bytes: integer(0, 2 ** 40), onFull: oneOf(['reject', 'wait']) }),
  }),
  consume: shape({
    ...GROUP_SHAPE,
    enabled: either((value) => (Array.isArray(value) ? listOf(text()) : bool)),
    maxConcurrency: COUNT,
    asyncContext: bool,
    unmatched: retryOption,
    groups: recordOf(shape({ ...GROUP_SHAPE, enabled: bool })),
  }),
  request: shape({ timeoutMs: MS, errorStacks: bool }),
  cache: cacheCheck,
  shutdown: shape({ deadlineMs: MS }),
  rendezvous: shape({ leaseMs: integer(LIMITS.leaseMinMs, LIMITS.leaseMaxMs) }),
  inbox: withMethods(['claim', 'done', 'forget']),
  autoStart: bool,
  logger: loggerCheck,
  // read by the layers around the bus
  globalEnhancers: oneOf(['none', 'inherit']),
  transports: listOf(shape({ type: text(), schemes: listOf(text()), load: func })),
};

export const HANDLER_POLICY_SHAPE = { ...GROUP_SHAPE, retry: retryOption } as const;
export const CHECKS = { NAME, func, HANDLER_METHODS, SERIALIZER_METHODS };

/**
 * All that is wrong with the options, without what only the transport can know.
 *
 * @param extras options that are allowed besides
 */
export function optionProblems(raw: EventBusOptions, extras: Shape = {}): string[] {
  const problems: string[] = [];
  shape({ ...OPTIONS, ...exchangeChecks(raw ?? {}), ...extras })(raw, '', problems);
  if (problems.length === 0) checkNames(raw, problems);
  return problems;
}

function nameOfMain(exchange: EventBusOptions['exchange']): string {
  if (typeof exchange === 'string') return exchange;
  return (isExchangeHandler(exchange) ? undefined : exchange?.name) ?? DEFAULTS.exchange;
}

/** What exchanges have of their own is named after them, and must not be one of the others. */
function checkNames({ exchange, exchanges = {} }: EventBusOptions, problems: string[]): void {
  const main = nameOfMain(exchange);
  const names = new Set([main, ...Object.keys(exchanges)]);
  for (const name of [...Object.keys(exchanges), undefined]) {
    const at = name === undefined ? 'exchange' : `exchanges[${JSON.stringify(name)}]`;
    if (name === main) problems.push(`${at} is the main exchange, which the option exchange describes.`);
    else if (name !== undefined) NAME(name, `${at} as a name`, problems);
    const [, stem] = /^(.*)\.(broadcast|ae|control|unroutable)$/.exec(name ?? main) ?? [];
    if (stem !== undefined && names.has(stem))
      problems.push(`${at} has the name of something that belongs to the exchange "${stem}". Choose another name.`);
  }
}
