import 'reflect-metadata';
import { EVENT_METADATA, type EventDefinition } from '../bus/event-definition.js';
import type { StandardSchema } from '../core/schema.js';

/**
 * Names a class on the wire, so that its objects can be published and it can be subscribed to.
 *
 * @param topic the routing topic, which is the event's name on the wire too
 * @param options.version of the payload's shape; default 1
 * @param options.schema checked before publishing and before handling
 * @example
 * @Event('orders.created')
 * class OrderCreated { constructor(readonly id: string) {} }
 * @publicApi
 */
export function Event(
  topic: string,
  options: { readonly version?: number; readonly schema?: StandardSchema } = {},
): ClassDecorator {
  const definition: EventDefinition = Object.freeze({ topic, ...options });
  return (target) => Reflect.defineMetadata(EVENT_METADATA, definition, target);
}
