import type { StandardSchema } from '../core/schema.js';

/** What the bus knows about an event besides its payload. */
export interface EventDefinition<T = unknown> {
  /** Routing topic and name of the event on the wire. */
  readonly topic: string;
  /** Version of the payload's shape; absent means 1. A consumer of another version leaves the message to others. */
  readonly version?: number;
  /** Checked before publishing and before handling. */
  readonly schema?: StandardSchema<T>;
}

/** A class with `@Event`. */
export type EventClass<T = unknown> = abstract new (...args: never[]) => T;

/** Where `@Event` keeps its definition. */
export const EVENT_METADATA = 'nestjs-event-bus:event';

/**
 * A typed event without a class.
 *
 * @example
 * const OrderPaid = defineEvent<{ id: string }>('orders.paid');
 * await bus.publish(OrderPaid, { id: '42' });
 * @publicApi
 */
export function defineEvent<T = unknown>(
  topic: string,
  options: { readonly version?: number; readonly schema?: StandardSchema<T> } = {},
): EventDefinition<T> {
  return Object.freeze({ topic, ...options });
}
