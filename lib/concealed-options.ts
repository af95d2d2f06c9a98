import { inspect } from 'node:util';
import type { EventBusModuleOptions } from './event-bus.lifecycle.js';

/** The options, printed without what the transport needs to log in. An object of a class of the user's own stays as it is. */
export function conceal(options: EventBusModuleOptions): EventBusModuleOptions {
  const prototype: unknown = Object.getPrototypeOf(options);
  if (prototype !== Object.prototype && prototype !== null) return options;
  const print = (): unknown => ({ ...options, transport: describe(options.transport) });
  // not enumerable: no option has these names
  const printed = { [inspect.custom]: { value: print }, toJSON: { value: print } };
  return Object.create(prototype, {
    ...Object.getOwnPropertyDescriptors(options),
    ...printed,
  }) as EventBusModuleOptions;
}

function describe(transport: EventBusModuleOptions['transport']): unknown {
  if (typeof transport === 'string') return `${transport.split(':', 1)[0]}:…`;
  return transport && { type: (transport as { readonly type?: unknown }).type };
}
