import { randomUUID } from 'node:crypto';
import { withDeadline } from '../core/deadline.js';
import { ConfigurationError, ConnectionError } from '../core/errors.js';
import type { BindingHeaders, BindingRule } from '../core/exchange.js';
import type { BusLogger } from '../core/logger.js';
import type { Headers, Message } from '../core/message.js';
import { anyText, listOf, shape, text } from '../core/options.js';
import type { Transport } from '../core/transport.js';
import type { BusExchanges } from './bus-exchanges.js';
import type { Consumption } from './consumption.js';
import type { ConsumeGroupOptions } from './event-bus.options.js';
import type { EventContext } from './event-context.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import type { EventRegistry } from './event-registry.js';
import { defineGroups, type GroupDefinition, type HandlerRegistration } from './group-definition.js';
import { CHECKS, HANDLER_POLICY_SHAPE } from './option-checks.js';
import type { ResolvedOptions } from './resolved-options.js';
import { BusSubscription, type Subscription } from './subscription.js';

export interface SubscribeOptions extends Omit<ConsumeGroupOptions, 'enabled'> {
  /** Durable and shared under this name. Without it: a private queue, gone on cancel and close. */
  readonly group?: string;
  /** Name of the exchange, one of the option `exchanges`. Default: the main one. */
  readonly exchange?: string;
  /** For exchanges of type `headers`: which must be there, and equal; with `null`, of any value. */
  readonly headers?: BindingHeaders;
  /** Whether all (default) or any of `headers`. */
  readonly match?: 'all' | 'any';
  /** Called when messages may have been missed: a private queue had to be made anew after a reconnect. */
  readonly onGap?: () => void;
}

/** One item of `observe`. */
export interface EventMessage<T = unknown> {
  readonly payload: T;
  readonly topic: string;
  readonly headers: Headers;
  readonly message: Message;
}

/** Handler of `subscribe`. Its error is retried by the policy like that of a decorated method. */
export type SubscribeHandler<T> = (payload: T, context: EventContext) => unknown;

export interface SubscriberParts {
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly exchanges: BusExchanges;
  readonly logger: BusLogger;
}

/** Makes groups while the bus runs: what `subscribe` asks for. */
export class Subscriber {
  constructor(
    private readonly parts: SubscriberParts,
    private readonly consumption: Consumption,
    private readonly registry: EventRegistry,
  ) {}

  async subscribe<T>(
    pattern: string | readonly string[] | EventClass<T> | EventDefinition<T>,
    handler: SubscribeHandler<T>,
    options: SubscribeOptions,
  ): Promise<Subscription> {
    const id = randomUUID();
    const { patterns, ...known } = this.registry.describe(pattern);
    const { group: shared, onGap } = options;
    const definition = this.define(id, patterns, options, {
      invoke: (payload, context) => handler(payload as T, context),
      ...known,
    });
    const group = this.consumption.add(definition, onGap);
    const giveUp = new AbortController();
    const begun = this.consumption.start(group, giveUp.signal).then(() => {
      if (shared !== undefined) return this.consumption.startBroadcasts(group, giveUp.signal);
    });
    const undo = (): Promise<void> => this.consumption.remove(group, this.parts.options.shutdown.deadlineMs);
    const { timeoutMs } = this.parts.options.startup;
    try {
      await withDeadline(
        begun,
        timeoutMs,
        () => new ConnectionError(`The broker could not be reached within ${timeoutMs} ms; not subscribed.`),
      );
    } catch (error) {
      // whoever was told that it failed must not get anything after all
      giveUp.abort();
      begun.then(undo, undo).catch((cause: unknown) => {
        this.parts.logger.warn(`A late subscription could not be undone: ${String(cause)}`);
      });
      throw error;
    }
    return new BusSubscription(id, typeof pattern === 'string' ? pattern : patterns, shared, group.consumers, undo);
  }

  private define(
    id: string,
    patterns: readonly string[],
    { group: shared, exchange, headers, match, onGap, ...policy }: SubscribeOptions,
    handler: Pick<HandlerRegistration, 'invoke' | 'event' | 'schema'>,
  ): GroupDefinition {
    const { options, exchanges, transport } = this.parts;
    const rule: Omit<BindingRule, 'pattern'> = {
      ...(headers !== undefined && { headers }),
      ...(match !== undefined && { match }),
    };
    const registration: HandlerRegistration = {
      place: `subscribe(${patterns.join(', ')})`,
      group: shared ?? `${options.service ?? 'app'}.subscription.${id}`,
      delivery: shared === undefined ? 'broadcast' : 'shared',
      rules: patterns.map((pattern) => ({ pattern, ...rule })),
      exchange,
      policy,
      ...handler,
    };
    const problems: string[] = [];
    shape({ ...HANDLER_POLICY_SHAPE, group: CHECKS.NAME, onGap: CHECKS.func })(
      { ...policy, ...(shared !== undefined && { group: shared }), ...(onGap && { onGap }) },
      'subscribe options',
      problems,
    );
    // where headers say what is wanted, no pattern needs to
    // alone it is a pattern that some exchanges do not look at; among others it is a slip
    listOf(patterns.length === 1 ? anyText : text(), 1)(patterns, 'pattern', problems);
    if (problems.length > 0) throw new ConfigurationError(problems);
    const [definition] = defineGroups([registration], options, exchanges, transport.capabilities);
    if (!definition) throw new ConfigurationError('subscribe() needs at least one pattern.');
    this.assertSameBindings(definition.name, registration);
    return definition;
  }

  /** Members of one group in one process that ask for different events, or handle them otherwise, would get each other's. */
  private assertSameBindings(name: string, registration: HandlerRegistration): void {
    const rules = JSON.stringify(registration.rules);
    for (const { definition } of this.consumption.groups) {
      if (definition.name !== name) continue;
      const other = definition.handlers.find(
        (handler) => JSON.stringify(handler.rules) !== rules || handler.exchange !== registration.exchange,
      );
      if (other) {
        throw new ConfigurationError(
          `Group "${name}" is used by ${other.place} with other patterns, or on another exchange. Choose another group for ${registration.place}.`,
        );
      }
      const [first] = definition.handlers;
      if (first?.idempotent || first?.batch) {
        throw new ConfigurationError(
          `Group "${name}" is used by ${first.place}, which is idempotent or takes batches; ${registration.place} is and does neither. Choose another group.`,
        );
      }
    }
  }
}
