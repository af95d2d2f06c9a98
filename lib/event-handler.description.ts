import { UNBIND } from './bus/bound-pattern.js';
import type { EventRegistry } from './bus/event-registry.js';
import type { HandlerRegistration } from './bus/group-definition.js';
import { CHECKS, HANDLER_POLICY_SHAPE } from './bus/option-checks.js';
import { ConfigurationError } from './core/errors.js';
import { ANY, bool, either, integer, listOf, oneOf, recordOf, shape, text } from './core/options.js';
import type { HandlerMetadata, OnEventMetadata } from './decorators/handler-metadata.js';
import { IDEMPOTENT, idempotencyOf, PLAIN, queueOf, SCHEMA } from './handler-options.js';

/** A method with one of its decorators. */
export interface DecoratedMethod {
  readonly type: { readonly name: string };
  readonly method: string;
  readonly metadata: HandlerMetadata;
}

export interface NamingOptions {
  readonly service: string | undefined;
  /** Whether names must outlive this process. */
  readonly durable: boolean;
}

const OPTIONS_SHAPE = shape({
  ...HANDLER_POLICY_SHAPE,
  exchange: text(),
  group: CHECKS.NAME,
  delivery: oneOf(['shared', 'broadcast']),
  ordered: oneOf(['key']),
  startFrom: oneOf(['new', 'earliest']),
  schema: SCHEMA,
  headers: recordOf(ANY),
  match: oneOf(['all', 'any']),
  bus: text(),
  renamedFrom: either((value) => (Array.isArray(value) ? listOf(CHECKS.NAME, 1) : CHECKS.NAME)),
  unbind: UNBIND,
  idempotent: IDEMPOTENT,
  batch: (value, path, problems) => {
    shape({ size: integer(1, 10_000), waitMs: integer(1, 600_000) })(value, path, problems);
    const { size, waitMs } = (value ?? {}) as { readonly size?: unknown; readonly waitMs?: unknown };
    if (size === undefined || waitMs === undefined) problems.push(`${path} needs size and waitMs.`);
  },
  rabbitmq: shape({
    queue: text(/^[^\0]{1,255}$/, 'the name of a queue, at most 255 characters'),
    queueType: oneOf(['quorum', 'classic']),
    arguments: recordOf(PLAIN),
    assert: oneOf(['assert', 'check', 'skip']),
    bind: bool,
  }),
});
const PATTERNS = listOf(text(), 1);

/** Reports what is wrong with what `@OnEvent` was given. */
export function checkEventHandler({ pattern, options }: OnEventMetadata, place: string, problems: string[]): void {
  OPTIONS_SHAPE(options, `${place} options`, problems);
  if (Array.isArray(pattern)) PATTERNS(pattern, `${place} pattern`, problems);
}

/**
 * What `@OnEvent` says of a method.
 *
 * @param all what is decorated in this application, for names that must differ
 * @throws ConfigurationError
 */
export function describeEventHandler(
  { type, method, metadata }: DecoratedMethod & { readonly metadata: OnEventMetadata },
  place: string,
  all: readonly DecoratedMethod[],
  { service, durable }: NamingOptions,
  registry: EventRegistry,
): Omit<HandlerRegistration, 'invoke'> {
  const { pattern, options } = metadata;
  const {
    exchange,
    group,
    delivery = 'shared',
    ordered,
    startFrom,
    headers,
    match,
    bus: _bus,
    schema: ownSchema,
    rabbitmq,
    renamedFrom,
    unbind,
    idempotent,
    batch,
    ...policy
  } = options;
  const { patterns, event, schema } = registry.describe(pattern);
  if (group !== undefined && delivery === 'broadcast') {
    throw new ConfigurationError(
      `group and delivery: 'broadcast' exclude each other: a broadcast reaches every instance.`,
    );
  }
  if (group === undefined && durable && type.name.length <= 2) {
    throw new ConfigurationError(
      `the class is named "${type.name}", as minifiers do; its queue would change its name with the next build. Give it a group.`,
    );
  }
  const rule = { ...(headers && { headers }), ...(match && { match }) };
  return {
    place,
    group: group ?? defaultGroup(service, type, method, all, options),
    delivery,
    rules: patterns.map((one) => ({ pattern: one, ...rule })),
    exchange,
    policy,
    ordered,
    startFrom,
    declare: rabbitmq?.assert,
    queue: queueOf(rabbitmq),
    renamedFrom: renamedFrom === undefined ? undefined : [renamedFrom].flat(),
    unbind: unbind === undefined ? undefined : [unbind].flat(),
    idempotent: idempotencyOf(idempotent),
    batch,
    event,
    schema: ownSchema ?? schema,
  };
}

/** `<service>.<Class>.<method>`; when a method has several decorators, each after the first is numbered. */
function defaultGroup(
  service: string | undefined,
  type: { readonly name: string },
  method: string,
  all: readonly DecoratedMethod[],
  options: OnEventMetadata['options'],
): string {
  const twins = all.filter(
    (one) =>
      one.type === type &&
      one.method === method &&
      one.metadata.kind === 'event' &&
      one.metadata.options.group === undefined,
  );
  // decorators are applied from the last to the first; the order of reading is the natural one
  const position = twins.toReversed().findIndex((one) => one.metadata.options === options);
  return `${service ?? 'app'}.${type.name}.${method}${position > 0 ? `.${position + 1}` : ''}`;
}
