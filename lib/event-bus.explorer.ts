import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner, ModuleRef } from '@nestjs/core';
import { EventRegistry } from './bus/event-registry.js';
import type { HandlerRegistration } from './bus/group-definition.js';
import { checkCommandHandler, describeCommandHandler } from './command-handler.description.js';
import { ConfigurationError } from './core/errors.js';
import type { HandlerMetadata } from './decorators/handler-metadata.js';
import { HANDLER_METADATA } from './decorators/metadata.js';
import { DEFAULT_BUS } from './event-bus.constants.js';
import {
  checkEventHandler,
  type DecoratedMethod,
  describeEventHandler,
  type NamingOptions,
} from './event-handler.description.js';
import { HandlerInvoker, type InstanceWrapper } from './handler-invoker.js';
import { classifyNestError, explainNestError } from './nest-errors.js';
import { modulesOf } from './nest-modules.js';

export interface ExploreOptions extends NamingOptions {
  readonly bus: string;
  /** Name of the main exchange, without the namespace. */
  readonly exchange: string;
  readonly globalEnhancers: boolean;
}

interface Found {
  readonly wrapper: InstanceWrapper;
  readonly type: { readonly name: string };
  readonly method: string;
  readonly metadata: readonly HandlerMetadata[];
}

/** Finds the methods with `@OnEvent` and `@OnCommand` in all modules of the application and makes handlers of them. */
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
      checkHandler(metadata, place, problems);
      if (problems.length > before) continue;
      try {
        const invoke = await this.invoker.create(one.wrapper, one.method, options.globalEnhancers);
        registrations.push({
          ...this.describe({ ...one, metadata }, place, mine, options),
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
        const metadata = Reflect.getMetadata(HANDLER_METADATA, callback) as readonly HandlerMetadata[] | undefined;
        return metadata ? [{ wrapper, type, method, metadata }] : [];
      });
    });
  }

  private describe(
    { metadata, ...one }: DecoratedMethod,
    place: string,
    all: readonly DecoratedMethod[],
    options: ExploreOptions,
  ): Omit<HandlerRegistration, 'invoke'> {
    return metadata.kind === 'command'
      ? describeCommandHandler(metadata, place, options.exchange, this.registry)
      : describeEventHandler({ ...one, metadata }, place, all, options, this.registry);
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

function checkHandler(metadata: HandlerMetadata, place: string, problems: string[]): void {
  if (metadata.kind === 'command') checkCommandHandler(metadata, place, problems);
  else checkEventHandler(metadata, place, problems);
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
