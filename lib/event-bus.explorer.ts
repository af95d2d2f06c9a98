import { UNBIND } from './bus/bound-pattern.js';
import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner, ModuleRef } from '@nestjs/core';
import { EventRegistry } from './bus/event-registry.js';
import type { HandlerRegistration } from './bus/group-definition.js';
import { CHECKS, HANDLER_POLICY_SHAPE } from './bus/option-checks.js';
import { ConfigurationError } from './core/errors.js';
import { DEFAULTS } from './core/limits.js';
import { ANY, bool, type Check, either, integer, listOf, oneOf, recordOf, shape, text } from './core/options.js';
import { isStandardSchema } from './core/schema.js';
import type { QueueSettings } from './core/transport.js';
import { ON_EVENT_METADATA } from './decorators/metadata.js';
import type { OnEventMetadata, OnEventOptions } from './decorators/on-event.decorator.js';
import { DEFAULT_BUS } from './event-bus.constants.js';
import { HandlerInvoker, type InstanceWrapper } from './handler-invoker.js';
import { classifyNestError, explainNestError } from './nest-errors.js';
import { modulesOf } from './nest-modules.js';

export interface ExploreOptions {
  readonly bus: string;
  readonly service: string | undefined;
  /** Whether names must outlive this process. */
  readonly durable: boolean;
  readonly globalEnhancers: boolean;
}

interface Found {
  readonly wrapper: InstanceWrapper;
  readonly type: { readonly name: string };
  readonly method: string;
  readonly metadata: readonly OnEventMetadata[];
}

/** A value that the table of an AMQP method can hold, and that means the same to the broker. */
const PLAIN: Check = (value, path, problems) => {
  const isPlain = typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
  if (!isPlain) problems.push(`${path} must be a string, a number or a boolean.`);
};

const OPTIONS_SHAPE = shape({
  ...HANDLER_POLICY_SHAPE,
  exchange: text(),
  group: CHECKS.NAME,
  delivery: oneOf(['shared', 'broadcast']),
  ordered: oneOf(['key']),
  startFrom: oneOf(['new', 'earliest']),
  schema: (value, path, problems) => {
    if (!isStandardSchema(value)) problems.push(`${path} must be a Standard Schema (zod, valibot, arktype, …).`);
  },
  headers: recordOf(ANY),
  match: oneOf(['all', 'any']),
  bus: text(),
  renamedFrom: either((value) => (Array.isArray(value) ? listOf(CHECKS.NAME, 1) : CHECKS.NAME)),
  unbind: UNBIND,
  idempotent: either((value) => (typeof value === 'boolean' ? bool : shape({ windowMs: integer(1, 30 * 86_400_000) }))),
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

/** Finds the methods with `@OnEvent` in all modules of the application and makes handlers of them. */
@Injectable()
export class EventBusExplorer {
  private readonly registry = new EventRegistry();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly moduleRef: ModuleRef,
    private readonly invoker: HandlerInvoker,
  ) {}

  /** @throws ConfigurationError with every problem, naming the places */
  async explore(options: ExploreOptions): Promise<readonly HandlerRegistration[]> {
    const found = this.find();
    const problems = this.assertKnownBuses(found);
    const mine = found.flatMap((one) =>
      one.metadata
        .filter((m) => (m.options.bus ?? DEFAULT_BUS) === options.bus)
        .map((metadata) => ({ ...one, metadata })),
    );
    this.assertFoundOnce(found, problems);
    const registrations: HandlerRegistration[] = [];
    for (const { metadata, ...one } of mine) {
      const place = placeOf(one);
      const before = problems.length;
      OPTIONS_SHAPE(metadata.options, `${place} options`, problems);
      if (Array.isArray(metadata.pattern)) PATTERNS(metadata.pattern, `${place} pattern`, problems);
      if (problems.length > before) continue;
      try {
        const invoke = await this.invoker.create(one.wrapper, one.method, options.globalEnhancers);
        registrations.push({
          ...this.describe(one, metadata, place, mine, options),
          invoke,
          classify: classifyNestError,
          explain: explainNestError,
        });
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        problems.push(...error.problems.map((problem) => `${place}: ${problem}`));
      }
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
    return registrations;
  }

  private find(): readonly Found[] {
    const modules = [...modulesOf(this.moduleRef).values()];
    const wrappers = [
      ...this.discovery.getProviders({}, modules),
      ...this.discovery.getControllers({}, modules),
    ] as readonly InstanceWrapper[];
    return wrappers.flatMap((wrapper) => {
      const instance = wrapper.instance as object | null | undefined;
      if (typeof instance !== 'object' || instance === null || wrapper.isAlias) return [];
      const prototype: unknown = Object.getPrototypeOf(instance);
      if (typeof prototype !== 'object' || prototype === null) return [];
      const type = instance.constructor;
      return this.scanner.getAllMethodNames(prototype).flatMap((method) => {
        const callback = (instance as Record<string, unknown>)[method];
        if (typeof callback !== 'function') return [];
        const metadata = Reflect.getMetadata(ON_EVENT_METADATA, callback) as readonly OnEventMetadata[] | undefined;
        return metadata ? [{ wrapper, type, method, metadata }] : [];
      });
    });
  }

  private describe(
    { type, method }: Pick<Found, 'type' | 'method'>,
    { pattern, options }: OnEventMetadata,
    place: string,
    all: readonly { readonly type: object; readonly method: string; readonly metadata: OnEventMetadata }[],
    { service, durable }: ExploreOptions,
  ): Omit<HandlerRegistration, 'invoke'> {
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
    const { patterns, event, schema } = this.registry.describe(pattern);
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
      idempotent: idempotent
        ? { windowMs: DEFAULTS.idempotencyWindowMs, ...(idempotent !== true && idempotent) }
        : undefined,
      batch,
      event,
      schema: ownSchema ?? schema,
    };
  }

  private assertKnownBuses(found: readonly Found[]): string[] {
    const known = new Set([...modulesOf(this.moduleRef).values()].flatMap((module) => busNameOf(module.providers)));
    const problems: string[] = [];
    for (const one of found) {
      for (const { options } of one.metadata) {
        const { bus = DEFAULT_BUS } = options;
        if (known.has(bus)) continue;
        problems.push(`${placeOf(one)}: there is no bus named "${bus}". Known: ${[...known].join(', ')}.`);
      }
    }
    return problems;
  }

  private assertFoundOnce(found: readonly Found[], problems: string[]): void {
    const seen = new Map<object, Map<string, Found>>();
    for (const one of found) {
      const methods = seen.get(one.type) ?? new Map<string, Found>();
      const earlier = methods.get(one.method);
      if (earlier && earlier.wrapper !== one.wrapper) {
        problems.push(
          `${placeOf(one)} was found before as ${placeOf(earlier)}: each event would be handled twice. Provide the class in one module and export it.`,
        );
      }
      methods.set(one.method, one);
      seen.set(one.type, methods);
    }
  }
}

/** What the decorator says of the queue; undefined when it says nothing. */
function queueOf({
  queue,
  queueType,
  arguments: args,
  bind,
}: OnEventOptions['rabbitmq'] = {}): QueueSettings | undefined {
  if (queue === undefined && queueType === undefined && args === undefined && bind === undefined) return undefined;
  return {
    ...(queue !== undefined && { name: queue }),
    ...(queueType !== undefined && { type: queueType }),
    ...(args !== undefined && { arguments: args }),
    ...(bind !== undefined && { bind }),
  };
}

/** The token under which each bus tells its name. */
export const EVENT_BUS_NAME = 'EVENT_BUS_NAME';

function busNameOf(providers: ReadonlyMap<unknown, { readonly instance: unknown }>): readonly string[] {
  const name = providers.get(EVENT_BUS_NAME)?.instance;
  return typeof name === 'string' ? [name] : [];
}

function placeOf({ type, method, wrapper }: Pick<Found, 'type' | 'method' | 'wrapper'>): string {
  return `${type.name}.${method} (${wrapper.host?.metatype?.name ?? 'unknown module'})`;
}

/** `<service>.<Class>.<method>`; when a method has several decorators, each after the first is numbered. */
function defaultGroup(
  service: string | undefined,
  type: { readonly name: string },
  method: string,
  all: readonly { readonly type: object; readonly method: string; readonly metadata: OnEventMetadata }[],
  options: OnEventOptions,
): string {
  const twins = all.filter(
    (one) => one.type === type && one.method === method && one.metadata.options.group === undefined,
  );
  // decorators are applied from the last to the first; the order of reading is the natural one
  const position = twins.toReversed().findIndex((one) => one.metadata.options === options);
  return `${service ?? 'app'}.${type.name}.${method}${position > 0 ? `.${position + 1}` : ''}`;
}
