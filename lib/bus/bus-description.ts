import type { BusExchange, BusExchanges } from './bus-exchanges.js';
import type { BusLifecycle, EventBusStatus } from './bus-lifecycle.js';
import type { ActiveGroup, Consumption } from './consumption.js';
import type { EventBusParts } from './event-bus.parts.js';

export interface DescribedParts extends Omit<EventBusParts, 'exchanges'> {
  readonly status: EventBusStatus;
  readonly exchanges: BusExchanges;
  readonly consumption: Consumption;
  readonly leftovers: BusLifecycle['leftovers'];
}

/** What operators are shown of a bus: names, numbers and states, never a secret. */
export function describeBus({
  name,
  options,
  status,
  exchanges,
  serializer,
  transport,
  leftovers,
  consumption,
}: DescribedParts): Readonly<Record<string, unknown>> {
  return {
    name,
    service: options.service,
    namespace: options.namespace,
    status,
    exchange: describeExchange(exchanges.main),
    exchanges: exchanges.declared.slice(1).map(describeExchange),
    contentType: serializer.contentType,
    transport: transport.describe(),
    capabilities: transport.capabilities,
    vanishedGroups: leftovers.vanished,
    stalePatterns: leftovers.stale,
    groups: [...consumption.groups].map(describeGroup),
  };
}

/** What operators are shown of an exchange. */
function describeExchange({ events }: BusExchange): Readonly<Record<string, unknown>> {
  const { name, handler } = events.exchange;
  return { name, type: handler.type };
}

/** What operators are shown of a group: names, numbers and states. */
function describeGroup({ definition, state }: ActiveGroup): Readonly<Record<string, unknown>> {
  const { name, delivery, exchange, handlers, policy, idempotent, batch, renamedFrom, queue } = definition;
  return {
    name,
    delivery,
    ...(exchange !== undefined && { exchange }),
    patterns: handlers.flatMap((handler) => handler.rules.map((rule) => rule.pattern)),
    handlers: handlers.map((handler) => handler.place),
    ...policy,
    retry: policy.retry.delaysMs,
    ...(idempotent && { idempotent }),
    ...(batch && { batch }),
    ...(renamedFrom && { renamedFrom }),
    ...(queue?.name !== undefined && { queue: queue.name }),
    state,
  };
}
