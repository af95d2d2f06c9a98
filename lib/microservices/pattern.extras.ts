import { type BoundPattern, UNBIND } from '../bus/bound-pattern.js';
import type { ConsumeGroupOptions } from '../bus/event-bus.options.js';
import { CHECKS, HANDLER_POLICY_SHAPE } from '../bus/option-checks.js';
import { ANY, bool, either, integer, listOf, oneOf, recordOf, type Shape, shape, text } from '../core/options.js';
import { nearest } from '../core/text.js';

/**
 * What a handler of `@EventPattern` or `@MessagePattern` can ask of the bus, as the extras of its decorator. Extras with other
 * names are left to whom they are meant for.
 *
 * @example
 * @EventPattern('orders.*', { group: 'billing', concurrency: 2, retry: exponential({ attempts: 5, initialMs: 1_000 }) })
 */
export interface EventPatternExtras extends Omit<ConsumeGroupOptions, 'enabled'> {
  /** Name of its queue. Default `<service>.<pattern>`, with `any` for `*` and `all` for `#`. */
  readonly group?: string;
  /** Names that the group had before: their queues are taken over. */
  readonly renamedFrom?: string | readonly string[];
  /** Patterns that the group asked for before: of its own exchange, or of the one that is named. */
  readonly unbind?: string | BoundPattern | readonly (string | BoundPattern)[];
  /** Name of the exchange, one of the option `exchanges`. Default: the main one. */
  readonly exchange?: string;
  /** `broadcast`: every instance gets each event. Default `shared`: one of them. */
  readonly delivery?: 'shared' | 'broadcast';
  /** For headers exchanges. */
  readonly headers?: Readonly<Record<string, string | number | boolean>>;
  readonly match?: 'all' | 'any';
  /** Deliveries with the same key come one at a time, in order. */
  readonly ordered?: 'key';
  /** Where a new group starts. Default `new`. */
  readonly startFrom?: 'new' | 'earliest';
  /** An event that was handled within the window is not handled again. Default `false`. */
  readonly idempotent?: boolean | { readonly windowMs?: number };
}

const NAMES = either((value) => (Array.isArray(value) ? listOf(CHECKS.NAME, 1) : CHECKS.NAME));

const SHAPE: Shape = {
  ...HANDLER_POLICY_SHAPE,
  group: CHECKS.NAME,
  renamedFrom: NAMES,
  unbind: UNBIND,
  exchange: text(),
  delivery: oneOf(['shared', 'broadcast']),
  headers: recordOf(ANY),
  match: oneOf(['all', 'any']),
  ordered: oneOf(['key']),
  startFrom: oneOf(['new', 'earliest']),
  idempotent: either((value) => (typeof value === 'boolean' ? bool : shape({ windowMs: integer(1, 30 * 86_400_000) }))),
};

/** Extras that mean something for a command, which is bound to no exchange and has the queue of its name. */
const OF_COMMANDS: readonly string[] = Object.keys(HANDLER_POLICY_SHAPE);

/** Those of the extras that are meant for the bus; what is wrong with them goes into `problems`. */
export function pickExtras(
  extras: Readonly<Record<string, unknown>>,
  place: string,
  isEvent: boolean,
  problems: string[],
): EventPatternExtras {
  const known = Object.keys(SHAPE);
  const picked: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(extras)) {
    if (value === undefined) continue;
    const guess = nearest(name, known);
    if (known.includes(name)) picked[name] = value;
    else if (guess !== undefined) problems.push(`${place}: there is no extra "${name}". Did you mean "${guess}"?`);
    if (!isEvent && known.includes(name) && !OF_COMMANDS.includes(name))
      problems.push(`${place}: ${name} is for events. A message has one queue of its own and is bound to no exchange.`);
  }
  shape(SHAPE)(picked, `${place} extras`, problems);
  return picked as EventPatternExtras;
}
