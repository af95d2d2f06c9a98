import { randomUUID } from 'node:crypto';
import { Observable } from 'rxjs';
import { withDeadline } from '../core/deadline.js';
import { BusClosedError, ConfigurationError, ConnectionError } from '../core/errors.js';
import type { BindingRule, Exchange, ExchangeHandler } from '../core/exchange.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { Headers, Message } from '../core/message.js';
import type { Middleware } from '../core/pipeline.js';
import type { Serializer } from '../core/serializer.js';
import type { Transport } from '../core/transport.js';
import { type ActiveGroup, Consumption } from './consumption.js';
import { type ConsumeGroupOptions, qualify, type ResolvedOptions } from './event-bus.options.js';
import { type EventBusStats, PublishCounters } from './event-bus.stats.js';
import type { EventContext } from './event-context.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import { EventRegistry } from './event-registry.js';
import { defineGroups, type HandlerRegistration } from './group-definition.js';
import { publishAll } from './publish-all.js';
import type { EventPublishOptions, OutgoingEvent, PublishAllResult, PublishReceipt } from './publish-options.js';
import { Publisher, type PublishStage } from './publisher.js';
import { BusSubscription, type Subscription } from './subscription.js';

export type EventBusStatus = 'idle' | 'starting' | 'up' | 'degraded' | 'down' | 'closed';

/** What a bus is built from. */
export interface EventBusParts {
  readonly name: string;
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly exchange: ExchangeHandler;
  readonly serializer: Serializer;
  readonly logger: BusLogger;
  readonly publishMiddleware?: readonly Middleware<{ message: Message }>[];
  readonly consumeMiddleware?: readonly Middleware<EventContext>[];
  /** Takes the place of sending straight to the transport: an outbox. */
  readonly stage?: PublishStage;
  readonly inbox?: { readonly store: InboxStore; readonly leaseMs: number };
}

export interface SubscribeOptions extends Omit<ConsumeGroupOptions, 'enabled'> {
  /** Durable and shared under this name. Without it: a private queue, gone on cancel and close. */
  readonly group?: string;
  /** For headers exchanges. */
  readonly headers?: Headers;
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

/** The bus without Nest: publish, subscribe, status, and the steps of its life that the Nest layer calls in order. */
export class EventBus {
  protected readonly registry = new EventRegistry();
  private readonly exchange: Exchange;
  private readonly broadcastExchange: Exchange;
  private readonly counters = new PublishCounters();
  private readonly publisher: Publisher;
  private readonly consumption: Consumption;
  private phase: 'idle' | 'starting' | 'ready' | 'failed' | 'closed' = 'idle';
  private decorated: readonly ActiveGroup[] = [];
  private preparing: Promise<void> | undefined;
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  constructor(private readonly parts: EventBusParts) {
    const { options, transport, serializer, logger } = parts;
    if (transport.capabilities.durable && options.service === undefined) {
      throw new ConfigurationError(
        `service is required with the ${transport.name} transport: it names the queues. Set { service: 'orders' } in EventBusModule.forRoot().`,
      );
    }
    const name = qualify(options, options.exchange.name);
    this.exchange = { name, handler: parts.exchange };
    this.broadcastExchange = { name: `${name}.broadcast`, handler: parts.exchange };
    const { unroutable, maxMessageBytes } = options.publish;
    this.publisher = new Publisher({
      service: options.service,
      transport,
      serializer,
      unroutable,
      maxMessageBytes,
      counters: this.counters,
      logger,
      middleware: parts.publishMiddleware,
      stage: parts.stage,
    });
    this.consumption = new Consumption({
      options,
      transport,
      exchange: this.exchange,
      broadcastExchange: this.broadcastExchange,
      serializer,
      maxMessageBytes,
      logger,
      emit: (topic, payload, o) => this.publish(topic, payload, o),
      middleware: parts.consumeMiddleware,
      inbox: parts.inbox,
    });
  }

  /** Name of the bus: `default`, or the `name` given to `forRoot`. */
  get name(): string {
    return this.parts.name;
  }

  /**
   * `up`: connected, and everything that should consume does. `degraded`: connected, but the broker blocks publishers or
   * a consumer is recovering. `down`: not connected.
   */
  get status(): EventBusStatus {
    if (this.phase === 'closed' || this.phase === 'idle') return this.phase;
    const { state } = this.parts.transport.connection;
    if (state === 'up' && this.phase === 'starting') return 'starting';
    if (state === 'up') return [...this.consumption.groups].some((g) => g.state === 'recovering') ? 'degraded' : 'up';
    if (state === 'blocked') return 'degraded';
    return this.phase === 'starting' && state !== 'closed' ? 'starting' : 'down';
  }

  /**
   * Publishes an event to every group that asks for its topic.
   *
   * @returns the receipt, when the broker has taken responsibility
   * @throws ValidationError for a payload that does not fit or cannot be serialized
   * @throws ConfigurationError for a bad topic, header or option, or a class without `@Event`
   * @throws MessageTooLargeError, UnroutableError (`unroutable: 'reject'`), PublishRejectedError, BrokerBlockedError,
   *   PublishTimeoutError (outcome unknown if `sent`), BusClosedError
   * @example
   * await bus.publish('orders.created', { id: '42' });
   * await bus.publish(new OrderCreated('42'));
   * @publicApi
   */
  publish(topic: string, payload: unknown, options?: EventPublishOptions): Promise<PublishReceipt>;
  publish<T>(definition: EventDefinition<T>, payload: T, options?: EventPublishOptions): Promise<PublishReceipt>;
  publish(event: object, options?: EventPublishOptions): Promise<PublishReceipt>;
  publish(first: string | object, second?: unknown, third?: EventPublishOptions): Promise<PublishReceipt> {
    if (typeof first === 'string') return this.publisher.publish(this.exchange, first, second, third);
    return this.publishTyped(this.exchange, first, second, third);
  }

  /**
   * Publishes to every running instance that subscribes to the topic, once per instance; at most once each.
   *
   * @example await bus.broadcast('cache.invalidate', { key: 'prices' });
   * @publicApi
   */
  broadcast(topic: string, payload: unknown, options?: EventPublishOptions): Promise<PublishReceipt>;
  broadcast<T>(definition: EventDefinition<T>, payload: T, options?: EventPublishOptions): Promise<PublishReceipt>;
  broadcast(event: object, options?: EventPublishOptions): Promise<PublishReceipt>;
  broadcast(first: string | object, second?: unknown, third?: EventPublishOptions): Promise<PublishReceipt> {
    if (typeof first === 'string') return this.publisher.publish(this.broadcastExchange, first, second, third);
    return this.publishTyped(this.broadcastExchange, first, second, third);
  }

  /**
   * Publishes a sequence of any length in order, with back-pressure: at most one window is in memory.
   *
   * @returns how many were confirmed, and which failed why; a failure does not stop the rest
   * @example await bus.publishAll(rows.map((row) => ({ topic: 'rows.imported', payload: row })));
   * @publicApi
   */
  publishAll(events: Iterable<OutgoingEvent> | AsyncIterable<OutgoingEvent>): Promise<PublishAllResult> {
    return publishAll(events, this.parts.options.publish.window, (event) => this.publishOne(event));
  }

  /**
   * Subscribes from code. Resolves when the binding is in force: nothing published from then on is missed.
   *
   * @throws ConfigurationError for a bad pattern or option; ConnectionError when the broker cannot be reached within
   *   `startup.timeoutMs`; BusClosedError
   * @example const subscription = await bus.subscribe<Order>('orders.*', (order) => console.log(order));
   * @publicApi
   */
  async subscribe<T = unknown>(
    pattern: string | readonly string[] | EventClass<T> | EventDefinition<T>,
    handler: SubscribeHandler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    if (this.draining || this.closing) throw new BusClosedError('subscribe');
    const { group: shared, headers, match, onGap, ...policy } = options;
    const id = randomUUID();
    const { patterns, ...known } = this.patternsOf(pattern);
    const rule: Omit<BindingRule, 'pattern'> = { ...(headers && { headers }), ...(match && { match }) };
    const registration: HandlerRegistration = {
      place: `subscribe(${patterns.join(', ')})`,
      group: shared ?? `${this.parts.options.service ?? 'app'}.subscription.${id}`,
      delivery: shared === undefined ? 'broadcast' : 'shared',
      rules: patterns.map((one) => ({ pattern: one, ...rule })),
      policy,
      invoke: (payload, context) => handler(payload as T, context),
      ...known,
    };
    const [definition] = defineGroups(
      [registration],
      this.parts.options,
      this.parts.exchange,
      this.parts.transport.capabilities,
    );
    if (!definition) throw new ConfigurationError('subscribe() needs at least one pattern.');
    this.assertSameBindings(definition.name, registration);
    const group = this.consumption.add(definition, onGap);
    const { timeoutMs } = this.parts.options.startup;
    const begin = async (): Promise<void> => {
      await this.consumption.start(group);
      if (shared !== undefined) await this.consumption.startBroadcasts(group);
    };
    const begun = begin();
    const { deadlineMs } = this.parts.options.shutdown;
    const undo = (): Promise<void> => this.consumption.remove(group, deadlineMs);
    try {
      await withDeadline(
        begun,
        timeoutMs,
        () => new ConnectionError(`The broker could not be reached within ${timeoutMs} ms; not subscribed.`),
      );
    } catch (error) {
      // a consumer that starts after all is stopped as soon as it exists
      begun
        .then(undo, undo)
        .catch((cause: unknown) => this.parts.logger.warn(`A late subscription could not be undone: ${String(cause)}`));
      throw error;
    }
    return new BusSubscription(id, typeof pattern === 'string' ? pattern : patterns, shared, group.consumers, undo);
  }

  /**
   * The events of a pattern as an Observable; each subscriber has a private queue. A lost connection can leave a gap.
   *
   * @example bus.observe<Order>('orders.#').subscribe(({ payload }) => console.log(payload));
   * @publicApi
   */
  observe<T = unknown>(
    pattern: string | readonly string[],
    options: Omit<SubscribeOptions, 'group'> = {},
  ): Observable<EventMessage<T>> {
    return new Observable<EventMessage<T>>((observer) => {
      const next: SubscribeHandler<T> = (payload, { topic, headers, message }) =>
        observer.next({ payload, topic, headers, message });
      const subscribed = this.subscribe<T>(pattern, next, options);
      subscribed.catch((error: unknown) => observer.error(error));
      return () => {
        subscribed.then((subscription) => subscription.cancel()).catch(() => undefined); // the error went to the observer
      };
    });
  }

  /**
   * Starts the decorated consumers; needed only with `autoStart: false`. Idempotent.
   *
   * @publicApi
   */
  start(): Promise<void> {
    if (this.draining || this.closing) return Promise.reject(new BusClosedError('start'));
    this.starting ??= this.startConsumers();
    return this.starting;
  }

  /** Counters of this process since it started. @publicApi */
  stats(): EventBusStats {
    return { ...this.counters, groups: this.consumption.stats() };
  }

  /** What the bus is made of, for operators: names, numbers and states, never a secret. @publicApi */
  describe(): Readonly<Record<string, unknown>> {
    const { name, options, transport, serializer } = this.parts;
    return {
      name,
      service: options.service,
      namespace: options.namespace,
      status: this.status,
      exchange: { name: this.exchange.name, type: this.exchange.handler.type },
      contentType: serializer.contentType,
      transport: transport.describe(),
      capabilities: transport.capabilities,
      groups: [...this.consumption.groups].map(({ definition, state }) => ({
        name: definition.name,
        delivery: definition.delivery,
        patterns: definition.handlers.flatMap((handler) => handler.rules.map((rule) => rule.pattern)),
        handlers: definition.handlers.map((handler) => handler.place),
        ...definition.policy,
        retry: definition.policy.retry.delaysMs,
        state,
      })),
    };
  }

  /** Connects and declares what the decorated handlers need; publishes go out from then on. @internal */
  prepare(registrations: readonly HandlerRegistration[]): Promise<void> {
    this.preparing ??= this.declare(registrations);
    return this.preparing;
  }

  /** Stops consuming: by the deadline, what runs has ended or was given back. Idempotent. @internal */
  drain(): Promise<void> {
    this.draining ??= this.consumption.close(this.parts.options.shutdown.deadlineMs);
    return this.draining;
  }

  /** Drains, sends what is buffered, closes. Idempotent. @internal */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async declare(registrations: readonly HandlerRegistration[]): Promise<void> {
    const { options, exchange, transport, logger } = this.parts;
    const definitions = defineGroups(registrations, options, exchange, transport.capabilities);
    this.phase = 'starting';
    this.decorated = definitions.map((definition) => this.consumption.add(definition));
    const sources = this.decorated.filter((g) => g.definition.delivery === 'shared').map((g) => g.source);
    const connected = transport.connect({ exchanges: [this.exchange, this.broadcastExchange], sources }).then(
      () => {
        if (this.phase === 'starting') this.phase = 'ready';
      },
      (error: unknown) => {
        this.phase = 'failed';
        throw error;
      },
    );
    const { mode, timeoutMs } = options.startup;
    if (mode === 'background') {
      connected.catch((error: unknown) =>
        logger.error(`The event bus cannot start: ${error instanceof Error ? error.message : String(error)}`),
      );
      return;
    }
    await withDeadline(
      connected,
      timeoutMs,
      () =>
        new ConnectionError(
          `The broker ${transport.connection.endpoint} was not ready within ${timeoutMs} ms. Start it, raise startup.timeoutMs, or use startup.mode 'background'.`,
        ),
    );
  }

  private async startConsumers(): Promise<void> {
    const { logger, options } = this.parts;
    const enabled = this.decorated.filter((group) => group.definition.policy.enabled);
    const shared = enabled.filter((group) => group.definition.delivery === 'shared');
    const started = Promise.all([
      ...enabled.map((group) => this.consumption.start(group)),
      this.consumption.startHub(shared),
    ]);
    if (options.startup.mode === 'wait') {
      await started;
      return;
    }
    started.catch((error: unknown) => {
      if (!this.closing)
        logger.error(`A consumer cannot start: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  private async shutDown(): Promise<void> {
    const { transport, options } = this.parts;
    const end = Date.now() + options.shutdown.deadlineMs;
    await this.drain();
    await transport.close({ deadlineMs: Math.max(100, end - Date.now()) });
    this.phase = 'closed';
  }

  private publishTyped(
    exchange: Exchange,
    first: object,
    second: unknown,
    third: EventPublishOptions | undefined,
  ): Promise<PublishReceipt> {
    let definition: EventDefinition;
    try {
      definition = this.registry.get(first);
    } catch (error) {
      return Promise.reject(error);
    }
    if (definition === first || typeof first === 'function') {
      return this.publisher.publish(exchange, definition.topic, second, third, definition);
    }
    return this.publisher.publish(
      exchange,
      definition.topic,
      first,
      second as EventPublishOptions | undefined,
      definition,
    );
  }

  private async publishOne(event: OutgoingEvent): Promise<PublishReceipt> {
    const { topic, payload, options } = event as { topic?: unknown; payload?: unknown; options?: EventPublishOptions };
    const prototype: unknown = Object.getPrototypeOf(event);
    if (typeof topic === 'string' && (prototype === Object.prototype || prototype === null)) {
      return this.publisher.publish(this.exchange, topic, payload, options, undefined, true);
    }
    const definition = this.registry.get(event);
    return this.publisher.publish(this.exchange, definition.topic, event, undefined, definition, true);
  }

  private patternsOf(pattern: string | readonly string[] | EventClass | EventDefinition): {
    readonly patterns: readonly string[];
  } & Pick<HandlerRegistration, 'event' | 'schema'> {
    if (typeof pattern === 'string') return { patterns: [pattern] };
    if (Array.isArray(pattern)) return { patterns: pattern };
    const definition = this.registry.get(pattern);
    return {
      patterns: [definition.topic],
      event: { type: definition.topic, version: definition.version ?? 1 },
      schema: definition.schema,
    };
  }

  /** Members of one group in one process that ask for different events would get each other's. */
  private assertSameBindings(name: string, registration: HandlerRegistration): void {
    const patterns = (rules: readonly BindingRule[]): string => JSON.stringify(rules);
    for (const { definition } of this.consumption.groups) {
      const other = definition.handlers.find((handler) => patterns(handler.rules) !== patterns(registration.rules));
      if (definition.name === name && other) {
        throw new ConfigurationError(
          `Group "${name}" is used by ${other.place} with other patterns. Choose another group for ${registration.place}.`,
        );
      }
    }
  }
}
