import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { EventBusOptions } from './bus/event-bus.options.js';
import type { HandlerRegistration } from './bus/group-definition.js';
import { ConfigurationError } from './core/errors.js';
import type { Transport } from './core/transport.js';
import type { TransportDefinition } from './core/transport-definition.js';
import { EVENT_BUS_NAME, EventBusExplorer } from './event-bus.explorer.js';
import type { EventBusService } from './event-bus.service.js';
import { modulesOf } from './nest-modules.js';

/** The parts of one bus, under tokens that are the same in every bus module. */
export const LIFECYCLE_PARTS = 'EVENT_BUS_LIFECYCLE_PARTS';

export interface LifecycleParts {
  readonly bus: EventBusService;
  readonly options: EventBusModuleOptions;
  readonly transport: Transport;
  /** Name of the main exchange, without the namespace. */
  readonly exchange: string;
}

/** What the options hold for the Nest layer besides those of the bus. */
export interface EventBusModuleOptions extends EventBusOptions {
  /** `inherit`: the application's global guards, pipes, interceptors and filters run for events too. Default `none`. */
  readonly globalEnhancers?: 'none' | 'inherit';
  /** Transports of other packages, chosen by `transport.type` or the scheme of a URL. */
  readonly transports?: readonly TransportDefinition[];
}

/**
 * First to start, last to stop: finds the handlers and declares their queues before any other module can publish;
 * keeps publishing open until every other module has shut down.
 */
@Injectable()
export class EventBusOpener implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger('EventBus');

  constructor(
    @Inject(LIFECYCLE_PARTS) private readonly parts: LifecycleParts,
    private readonly explorer: EventBusExplorer,
    private readonly moduleRef: ModuleRef,
  ) {}

  async onModuleInit(): Promise<void> {
    const { bus, options, transport } = this.parts;
    try {
      this.assertOnlyBusOfItsName();
      const registrations = await this.explorer.explore({
        bus: bus.name,
        service: options.service,
        exchange: this.parts.exchange,
        durable: transport.capabilities.durable,
        globalEnhancers: options.globalEnhancers === 'inherit',
      });
      await bus.prepare(registrations);
      this.announce(registrations);
    } catch (error) {
      await bus.close(); // else a reconnecting transport would keep the failed process alive
      throw error;
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await this.parts.bus.close();
  }

  private announce(registrations: readonly HandlerRegistration[]): void {
    const logger = this.parts.options.logger ?? this.logger;
    for (const { rules, place, group, command } of registrations) {
      const asked = command ?? rules.map((rule) => rule.pattern).join(', ');
      logger.log(`Mapped {${asked}} to ${place}, ${command === undefined ? 'group' : 'command'} ${group}`);
    }
  }

  private assertOnlyBusOfItsName(): void {
    const { name } = this.parts.bus;
    const twins = [...modulesOf(this.moduleRef).values()].filter(
      (module) => module.providers.get(EVENT_BUS_NAME)?.instance === name,
    );
    if (twins.length <= 1) return;
    throw new ConfigurationError(
      `EventBusModule.forRoot() is imported ${twins.length} times for the bus "${name}". Import it once in the root module, or give each bus a name.`,
    );
  }
}

/** Last to start, first to stop: consumes only while everything that a handler may need is up. */
@Injectable()
export class EventBusStarter implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(@Inject(LIFECYCLE_PARTS) private readonly parts: LifecycleParts) {}

  async onApplicationBootstrap(): Promise<void> {
    const { bus, options } = this.parts;
    if (options.autoStart === false) return;
    try {
      await bus.start();
    } catch (error) {
      await bus.close(); // else a reconnecting transport would keep the failed process alive
      throw error;
    }
  }

  async onModuleDestroy(): Promise<void> {
    await this.parts.bus.drain();
  }
}
