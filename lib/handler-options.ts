import type { HandlerRegistration } from './bus/group-definition.js';
import { DEFAULTS } from './core/limits.js';
import { bool, type Check, either, integer, shape } from './core/options.js';
import { isStandardSchema } from './core/schema.js';
import type { QueueSettings } from './core/transport.js';
import type { OnEventOptions } from './decorators/on-event.decorator.js';

/** A value that the table of an AMQP method can hold, and that means the same to the broker. */
export const PLAIN: Check = (value, path, problems) => {
  const isPlain = typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
  if (!isPlain) problems.push(`${path} must be a string, a number or a boolean.`);
};

export const SCHEMA: Check = (value, path, problems) => {
  if (!isStandardSchema(value)) problems.push(`${path} must be a Standard Schema (zod, valibot, arktype, …).`);
};

export const IDEMPOTENT: Check = either((value) =>
  typeof value === 'boolean' ? bool : shape({ windowMs: integer(1, 30 * 86_400_000) }),
);

export function idempotencyOf(idempotent: OnEventOptions['idempotent']): HandlerRegistration['idempotent'] {
  if (!idempotent) return undefined;
  return { windowMs: DEFAULTS.idempotencyWindowMs, ...(idempotent !== true && idempotent) };
}

/** What the decorator says of the queue; undefined when it says nothing. */
export function queueOf({
  queue,
  queueType,
  arguments: args,
  bind,
}: OnEventOptions['rabbitmq'] = {}): QueueSettings | undefined {
  if (queue === undefined && queueType === undefined && args === undefined && bind === undefined) return undefined;
  return {
    ...(queue !== undefined && { name: queue }),
    ...(queueType !== undefined && { type: queueType }),
    ...(args !== undefined && { arguments: args }),
    ...(bind !== undefined && { bind }),
  };
}
