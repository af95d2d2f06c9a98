import type { BoundPattern } from '../bus/bound-pattern.js';
import type { ConsumeGroupOptions } from '../bus/event-bus.options.js';
import type { EventClass, EventDefinition } from '../bus/event-definition.js';
import type { BatchOptions } from '../bus/group-definition.js';
import type { BindingHeaders } from '../core/exchange.js';
import type { StandardSchema } from '../core/schema.js';
import type { DeclareMode } from '../core/transport.js';
import { handlerDecorator } from './handler-metadata.js';

/** What a handler asks for; every field is optional and the bus has the defaults. */
export interface OnEventOptions extends Omit<ConsumeGroupOptions, 'enabled'> {
  /** Name of the exchange, one of the option `exchanges` of the bus. Default: the main one. */
  readonly exchange?: string;
  /** Shares one copy of each event with the other members of the group. Default: a group of its own. */
  readonly group?: string;
  /** `shared` (default): one instance gets each event. `broadcast`: every instance does, at most once. */
  readonly delivery?: 'shared' | 'broadcast';
  /** `key`: events with the same `key` are handled one at a time, in order. */
  readonly ordered?: 'key';
  /** Where a new group starts. Default `new`: with what is published from then on. */
  readonly startFrom?: 'new' | 'earliest';
  /** Standard Schema (zod, valibot, …) that a payload must fit; what does not is dead-lettered at once. */
  readonly schema?: StandardSchema;
  /**
   * For exchanges of type `headers`: which headers must be there, and equal in value and type; with `null`, of any value.
   *
   * @example
   * @OnEvent('', { headers: { format: 'pdf', signedBy: null } })
   */
  readonly headers?: BindingHeaders;
  /** Whether all (default) or any of `headers`. */
  readonly match?: 'all' | 'any';
  /**
   * A message that this group has handled is not handled again within `windowMs` (default 1 hour, and always longer than the
   * longest retry delay), however often it comes; one whose handler failed is. Messages are told apart by their `id`; one without
   * (of a foreign publisher) is handled each time it comes, and a `broadcast` by every instance. What was handled is remembered
   * in the bus's `inbox`. A run that was given up because it took too long, and then succeeds, counts: what it emitted is
   * published, and the retry is recognized as a duplicate, unless it has begun by then: a retry waits for a run until 10 seconds
   * after its `timeoutMs`, so a handler must heed its `signal`. Default `false`. Not with `delivery: 'broadcast'`.
   */
  readonly idempotent?: boolean | { readonly windowMs?: number };
  /**
   * The method is called with up to `size` payloads at once, and the contexts of all: `(payloads: T[], contexts: readonly
   * EventContext[])`. After `waitMs`, counted from the arrival of the first of them, also with fewer. `concurrency` counts
   * batches; its default is then 1. `timeoutMs` is for the whole batch.
   *
   * When the method throws, all of the batch is tried again; when it throws a `BatchError`, only what that names, each by its own
   * error. What cannot be decoded, does not fit `schema`, has expired or is a duplicate never reaches the method, and does not
   * hurt the others. Pipes and guards get the arrays: one that refuses, refuses all. A request-scoped class is made once for a
   * batch, with the array of contexts as `REQUEST`. A group with batches has one handler.
   *
   * @example
   * @OnEvent('clicks', { batch: { size: 500, waitMs: 200 } })
   * async onClicks(clicks: Click[], contexts: readonly EventContext[]) { await this.db.insert(clicks); }
   */
  readonly batch?: BatchOptions;
  /**
   * Names that the group had before, the latest first. What they still hold is handled by this method, and their queues are
   * removed when they are empty and nobody uses them. Until then they send ahead `prefetch` deliveries each. An `idempotent`
   * group goes by the last of these names: keep it at its place, and the list until no duplicate can come any more.
   */
  readonly renamedFrom?: string | readonly string[];
  /**
   * Patterns that the group asked for before and does not want any more: a text is one of its own exchange, `{ exchange, pattern }`
   * one of another, by its name as in the options, also when it is not there any more.
   *
   * @example
   * // moved here from the main exchange
   * @OnEvent('orders.*', { group: 'audit', exchange: 'audit', unbind: { exchange: 'events', pattern: 'orders.*' } })
   */
  readonly unbind?: string | BoundPattern | readonly (string | BoundPattern)[];
  /** What concerns RabbitMQ alone; nothing on other transports. */
  readonly rabbitmq?: {
    /**
     * Full name of a queue that is there already, without the namespace, to consume from it while others may still do so.
     * Default: a queue named like the group. Retries and dead letters of this method wait in the group's own queues, from
     * where they go back to this one. What comes by the default exchange has the name of the queue as its topic; a topic that
     * no handler of the group asks for is unmatched (`consume.unmatched`).
     *
     * @example
     * @OnEvent('orders', { rabbitmq: { queue: 'orders', assert: 'check' } })
     */
    readonly queue?: string;
    /**
     * Default `quorum`. A `classic` queue does not count what comes back to it: a message that ends its process comes again for
     * ever, where a quorum queue dead-letters it after 21 times.
     */
    readonly queueType?: 'quorum' | 'classic';
    /** Of a classic queue all its arguments; for a quorum queue they are added to the library's own, and win. */
    readonly arguments?: Readonly<Record<string, string | number | boolean>>;
    /**
     * `assert` (default) declares the group's queues and refuses those that differ with a {@link TopologyConflictError};
     * `check` takes what is there, of whatever type, and refuses what is missing; `skip` trusts. With the last two, queues and
     * bindings are made by hand. Default: as the transport's own `assert`. With `queue` it concerns that queue alone.
     */
    readonly assert?: DeclareMode;
    /** Whether the patterns are bound to the queue on the bus's exchange. Default: only with `assert: 'assert'`. */
    readonly bind?: boolean;
  };
  /** Name of the bus. Default: the unnamed one. */
  readonly bus?: string;
}

export type EventPattern = string | readonly string[] | EventClass | EventDefinition;

/**
 * Makes a method of a provider or controller receive events. It is called with `(payload, context)`; `@Payload()` and
 * `@Ctx()` of `@nestjs/microservices` work as well. When it throws, the event is retried and at last dead-lettered.
 *
 * @param pattern a topic with wildcards (`*` one word, `#` any number), several of them, an `@Event` class or a definition
 * @example
 * @OnEvent('orders.*')
 * async onOrder(order: Order, context: EventContext) {}
 * @publicApi
 */
export function OnEvent(pattern: EventPattern, options: OnEventOptions = {}): MethodDecorator {
  return handlerDecorator({ kind: 'event', pattern, options });
}
