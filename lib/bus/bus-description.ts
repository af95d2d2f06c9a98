import type { BusExchange } from './bus-exchanges.js';
import type { ActiveGroup } from './consumption.js';

/** What operators are shown of an exchange. */
export function describeExchange({ events }: BusExchange): Readonly<Record<string, unknown>> {
  const { name, handler } = events.exchange;
  return { name, type: handler.type };
}

/** What operators are shown of a group: names, numbers and states. */
export function describeGroup({ definition, state }: ActiveGroup): Readonly<Record<string, unknown>> {
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
