import type { StandardSchema } from '../core/schema.js';
import type { EventDefinition } from './event-definition.js';

/** Only types have it: no object does. */
declare const REPLY: unique symbol;

/**
 * Base of classes of commands: names the type of the reply, so that `await bus.request(new PlaceOrder(…))` has it. `@Event` gives
 * the class its topic.
 *
 * @example
 * @Event('orders.place')
 * class PlaceOrder extends Command<OrderId> {
 *   constructor(readonly article: string) { super(); }
 * }
 * @publicApi
 */
export abstract class Command<R = void> {
  /** Of types only: never there. */
  declare readonly [REPLY]?: R;
}

/** A class of commands. */
export type CommandClass<R = unknown> = abstract new (...args: never[]) => Command<R>;

/** What the bus knows about a command that has no class. */
export interface CommandDefinition<T = unknown, R = unknown> extends EventDefinition<T> {
  /** Of types only: never there. */
  readonly [REPLY]?: R;
}

/**
 * A typed command without a class.
 *
 * @example
 * const PlaceOrder = defineCommand<{ article: string }, OrderId>('orders.place');
 * const id = await bus.request(PlaceOrder, { article: 'tea' });
 * @publicApi
 */
export function defineCommand<T = unknown, R = unknown>(
  topic: string,
  options: { readonly version?: number; readonly schema?: StandardSchema<T> } = {},
): CommandDefinition<T, R> {
  return Object.freeze({ topic, ...options });
}
