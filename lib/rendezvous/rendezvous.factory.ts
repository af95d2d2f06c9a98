import type { EventBus } from '../bus/event-bus.js';
import { qualify, type ResolvedOptions } from '../bus/resolved-options.js';
import type { ExchangeHandler } from '../core/exchange.js';
import type { BusLogger } from '../core/logger.js';
import { RendezvousService } from './rendezvous.service.js';

/** The rendezvous of a bus, which ends with it. */
export function rendezvousOf(
  bus: EventBus,
  options: ResolvedOptions,
  handler: ExchangeHandler,
  logger: BusLogger,
): RendezvousService {
  return new RendezvousService({
    control: bus.control,
    service: options.service ?? '',
    main: { name: qualify(options, options.exchange.name), handler },
    leaseMs: options.rendezvous.leaseMs,
    startupTimeoutMs: options.startup.timeoutMs,
    isPrepared: () => bus.status !== 'idle',
    logger,
  });
}
