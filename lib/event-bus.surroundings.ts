import type { EventBusParts } from './bus/event-bus.parts.js';
import type { ResolvedOptions } from './bus/resolved-options.js';
import { type Chosen, chooseTransport } from './create-event-bus.js';
import type { EventBusModuleOptions } from './event-bus.lifecycle.js';
import { EventBusService } from './event-bus.service.js';

/** One token for all buses of an application: who replaces what it stands for need not know their names. */
export const BUS_SURROUNDINGS = 'EVENT_BUS_SURROUNDINGS';

/** Where the buses of an application meet the world outside. */
export interface BusSurroundings {
  chooseTransport(raw: EventBusModuleOptions, options: ResolvedOptions, name: string): Promise<Chosen>;
  createBus(parts: EventBusParts): EventBusService;
}

export const OUTSIDE: BusSurroundings = {
  chooseTransport,
  createBus: (parts) => new EventBusService(parts),
};
