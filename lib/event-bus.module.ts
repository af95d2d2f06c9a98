import {
  type DynamicModule,
  type InjectionToken,
  Module,
  type OptionalFactoryDependency,
  type Provider,
  type Type,
} from '@nestjs/common';
import { DiscoveryModule, ModuleRef } from '@nestjs/core';
import { conceal } from './concealed-options.js';
import { ConfigurationError } from './core/errors.js';
import { assertValid, text } from './core/options.js';
import { DEFAULT_BUS, type EventBusTokenKind, getEventBusToken } from './event-bus.constants.js';
import { EventBusExplorer } from './event-bus.explorer.js';
import { type EventBusModuleOptions, EventBusOpener, EventBusStarter, LIFECYCLE_PARTS } from './event-bus.lifecycle.js';
import { createBusProviders } from './event-bus.providers.js';
import { EventContextModule } from './event-context.module.js';
import { HandlerInvoker } from './handler-invoker.js';
import { modulesOf } from './nest-modules.js';

/** What a bus may be called. */
export const BUS_NAME = text(/^[\w.-]{1,64}$/, '1 to 64 letters, digits or . _ -');

/** What `forRoot` takes besides the options of the bus. */
export interface EventBusModuleExtras {
  /** Name of the bus, for applications that have several. */
  readonly name?: string;
  /** Whether every module can inject the bus without importing this one. Default `true`. */
  readonly isGlobal?: boolean;
}

/** Gives the options of a bus; for `useClass` and `useExisting`. */
export interface EventBusOptionsFactory {
  createEventBusOptions(): EventBusModuleOptions | Promise<EventBusModuleOptions>;
}

export interface EventBusModuleAsyncOptions extends EventBusModuleExtras {
  readonly imports?: NonNullable<DynamicModule['imports']>;
  readonly inject?: readonly (InjectionToken | OptionalFactoryDependency)[];
  // biome-ignore lint/suspicious/noExplicitAny: what is injected has the types of the tokens in `inject`
  readonly useFactory?: (...args: any[]) => EventBusModuleOptions | Promise<EventBusModuleOptions>;
  readonly useClass?: Type<EventBusOptionsFactory>;
  readonly useExisting?: InjectionToken<EventBusOptionsFactory>;
}

/** Sets where a module stands in the order of Nest's life-cycle hooks; without the setter it keeps its natural place. */
function moveTo(distance: number, type: Type, moduleRef: ModuleRef): void {
  for (const module of modulesOf(moduleRef).values()) {
    if (module.metatype === type && 'distance' in module) module.distance = distance;
  }
}

/** Holds a bus. Before every other module at start, after every other one at shutdown. */
@Module({})
class EventBusCoreModule {
  constructor(moduleRef: ModuleRef) {
    moveTo(Number.POSITIVE_INFINITY, EventBusCoreModule, moduleRef);
  }
}

/** Runs its consumers. After every other module at start, before every other one at shutdown. */
@Module({})
class EventBusRuntimeModule {
  constructor(moduleRef: ModuleRef) {
    moveTo(-1, EventBusRuntimeModule, moduleRef);
  }
}

/**
 * Gives an application its event bus.
 *
 * @example
 * @Module({ imports: [EventBusModule.forRoot({ service: 'orders', transport: 'amqp://localhost' })] })
 * export class AppModule {}
 * @publicApi
 */
@Module({})
export class EventBusModule {
  /** @param options none at all is a bus in memory */
  static forRoot({ name, isGlobal, ...options }: EventBusModuleOptions & EventBusModuleExtras = {}): DynamicModule {
    return assemble({ name, isGlobal }, (token) => [{ provide: token, useValue: conceal(options) }]);
  }

  /** Options that other providers know: exactly one of `useFactory`, `useClass`, `useExisting`. */
  static forRootAsync(options: EventBusModuleAsyncOptions): DynamicModule {
    return assemble(options, (token) => asyncOptions(token, options), options.imports);
  }
}

const EXPORTED: readonly EventBusTokenKind[] = [
  'options',
  'connection',
  'exchangeHandler',
  'serializer',
  'transport',
  'service',
  'deadLetters',
  'rendezvous',
];

function assemble(
  {
    name = DEFAULT_BUS,
    isGlobal = true,
  }: { readonly name?: string | undefined; readonly isGlobal?: boolean | undefined },
  optionsProviders: (token: string) => readonly Provider[],
  imports: NonNullable<DynamicModule['imports']> = [],
): DynamicModule {
  assertValid(BUS_NAME, name, 'name of a bus');
  const core: DynamicModule = {
    module: EventBusCoreModule,
    imports: [DiscoveryModule, EventContextModule, ...imports],
    providers: [
      ...optionsProviders(getEventBusToken('options', name) as string),
      ...createBusProviders(name),
      EventBusExplorer,
      HandlerInvoker,
      EventBusOpener,
    ],
    exports: [...EXPORTED.map((kind) => getEventBusToken(kind, name)), LIFECYCLE_PARTS, EventContextModule],
  };
  const runtime: DynamicModule = { module: EventBusRuntimeModule, imports: [core], providers: [EventBusStarter] };
  return { module: EventBusModule, global: isGlobal, imports: [core, runtime], exports: [core] };
}

function asyncOptions(token: string, options: EventBusModuleAsyncOptions): readonly Provider[] {
  const { useFactory, useClass, useExisting, inject = [] } = options;
  const ways = [useFactory, useClass, useExisting].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw new ConfigurationError(
      'EventBusModule.forRootAsync() needs exactly one of useFactory, useClass and useExisting.',
    );
  }
  if (useFactory) {
    // biome-ignore lint/suspicious/noExplicitAny: what is injected has the types of the tokens in `inject`
    const checked = async (...args: any[]): Promise<EventBusModuleOptions> => assertOptions(await useFactory(...args));
    return [{ provide: token, useFactory: checked, inject: [...inject] }];
  }
  const factory = useClass ?? useExisting;
  return [
    ...(useClass ? [useClass] : []),
    {
      provide: token,
      inject: [factory as InjectionToken],
      useFactory: async (source: EventBusOptionsFactory) => assertOptions(await source.createEventBusOptions()),
    },
  ];
}

/** A factory that forgets its `return`, or the parentheses around an object, gives undefined. */
function assertOptions(options: (EventBusModuleOptions & EventBusModuleExtras) | undefined): EventBusModuleOptions {
  if (typeof options !== 'object' || options === null) {
    throw new ConfigurationError('The factory given to EventBusModule.forRootAsync() must return an options object.');
  }
  const extras = (['name', 'isGlobal'] as const).filter((key) => options[key] !== undefined);
  if (extras.length === 0) return conceal(options);
  throw new ConfigurationError(
    `${extras.join(' and ')} must stand beside the factory given to EventBusModule.forRootAsync(), not in what it returns: modules are put together before it is called.`,
  );
}
