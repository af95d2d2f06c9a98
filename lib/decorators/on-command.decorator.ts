import type { CommandClass, CommandDefinition } from '../bus/command-definition.js';
import type { ConsumeGroupOptions } from '../bus/event-bus.options.js';
import type { StandardSchema } from '../core/schema.js';
import { handlerDecorator } from './handler-metadata.js';
import type { OnEventOptions } from './on-event.decorator.js';

/** What the handler of a command asks for; every field is optional and the bus has the defaults. */
export interface OnCommandOptions extends Omit<ConsumeGroupOptions, 'enabled'> {
  /** Standard Schema (zod, valibot, …) that a payload must fit; else a request is refused, and what was sent is dead-lettered. */
  readonly schema?: StandardSchema;
  /**
   * As with `@OnEvent`, for what comes by `bus.send`. A request is handled each time that it comes, for somebody waits for the
   * answer. Default `false`.
   */
  readonly idempotent?: boolean | { readonly windowMs?: number };
  /** What concerns RabbitMQ alone: how the queue is, and whether it is declared here. */
  readonly rabbitmq?: Pick<NonNullable<OnEventOptions['rabbitmq']>, 'queueType' | 'arguments' | 'assert'>;
  /** Name of the bus. Default: the unnamed one. */
  readonly bus?: string;
}

/**
 * Makes a method the one handler of a command: called with `(payload, context)` for each `bus.send`, which is retried and
 * dead-lettered like an event, and for each `bus.request`, where what it returns or throws is the answer. A method that gives an
 * AsyncIterable or an Observable answers `bus.requestStream` piece by piece.
 *
 * The queue belongs to the command, `<exchange>.command.<topic>`, so that its handler can move to another class or service. All
 * instances of the service share it; a second handler in one application is a start-up error.
 *
 * @param command its name, or its class
 * @example
 * @OnCommand(PlaceOrder)
 * async place(order: PlaceOrder, context: EventContext): Promise<OrderId> {}
 * @publicApi
 */
export function OnCommand(
  command: string | CommandClass | CommandDefinition,
  options: OnCommandOptions = {},
): MethodDecorator {
  return handlerDecorator({ kind: 'command', pattern: command, options });
}
