import type { Observable } from 'rxjs';
import { Described } from '../core/described.js';
import { BusClosedError, ConfigurationError } from '../core/errors.js';
import { AlternateQueues } from './alternate-queues.js';
import { describeExchange, describeGroup } from './bus-description.js';
import { BusExchanges } from './bus-exchanges.js';
import { BusLifecycle, type EventBusStatus } from './bus-lifecycle.js';
import { Consumption } from './consumption.js';
import type { EventBusParts } from './event-bus.parts.js';
import { type EventBusStats, PublishCounters } from './event-bus.stats.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import { EventRegistry } from './event-registry.js';
import type { HandlerRegistration } from './group-definition.js';
import { decoderOf } from './message-decoder.js';
import { type ObserveOptions, observe } from './observe.js';
import { publishAll } from './publish-all.js';
import type { EventPublishOptions, OutgoingEvent, PublishAllResult, PublishReceipt } from './publish-options.js';
import { Publisher, type PublishKind } from './publisher.js';
import { type EventMessage, type SubscribeHandler, type SubscribeOptions, Subscriber } from './subscriber.js';
import type { Subscription } from './subscription.js';
import type { UnroutableMessage } from './unroutable-message.js';
import { Unroutables } from './unroutables.js';

/** The bus without Nest: publish, subscribe, status, and the steps of its life that the Nest layer calls in order. */
export class EventBus extends Described {
  protected readonly registry = new EventRegistry();
  private readonly exchanges: BusExchanges;
  private readonly counters = new PublishCounters();
  private readonly unroutables: Unroutables;
  private readonly publisher: Publisher;
  private readonly consumption: Consumption;
  private readonly subscriber: Subscriber;
  private readonly lifecycle: BusLifecycle;

  constructor(private readonly parts: EventBusParts) {
    super();
    const { options, transport, serializer, logger } = parts;
    if (transport.capabilities.durable && options.service === undefined) {
      throw new ConfigurationError(
        `service is required with the ${transport.name} transport: it names the queues. Set { service: 'orders' } in EventBusModule.forRoot().`,
      );
    }
    const exchanges = new BusExchanges(options, parts.exchange, parts.exchanges);
    this.exchanges = exchanges;
    const { maxMessageBytes, timeoutMs } = options.publish;
    const decoder = decoderOf(parts);
    this.unroutables = new Unroutables({
      publish: options.publish,
      isKnown: transport.capabilities.unroutable,
      decoder,
      counters: this.counters,
      logger,
    });
    const alternates = new AlternateQueues({
      options,
      exchanges,
      transport,
      sourceOf: (group) => this.consumption.findSource(group),
    });
    this.publisher = new Publisher({
      service: options.service,
      exchanges,
      transport,
      serializer,
      timeoutMs,
      unroutables: this.unroutables,
      alternates,
      maxMessageBytes,
      counters: this.counters,
      logger,
      middleware: parts.publishMiddleware,
      stage: parts.stage,
    });
    this.consumption = new Consumption({
      options,
      transport,
      exchanges,
      decoder,
      logger,
      emit: (topic, payload, o) => this.publish(topic, payload, o),
      middleware: parts.consumeMiddleware,
      inbox: parts.inbox,
    });
    this.lifecycle = new BusLifecycle(parts, this.consumption, exchanges, alternates, (deadlineMs) =>
      this.publisher.settle(deadlineMs),
    );
    this.subscriber = new Subscriber({ ...parts, exchanges }, this.consumption, this.registry);
  }

  /** Name of the bus: `default`, or the `name` given to `forRoot`. */
  get name(): string {
    return this.parts.name;
  }

  /**
   * `idle`: not started. `starting`: until the broker has been ready once. `up`: connected, and everything that should
   * consume does. `degraded`: connected, but the broker blocks publishers or a consumer is recovering. `down`: not
   * connected, or nothing can be published. `closed`.
   */
  get status(): EventBusStatus {
    return this.lifecycle.status;
  }

  /**
   * Publishes an event to every group that asks for its topic.
   *
   * @returns the receipt, when the broker has taken responsibility
   * @throws ValidationError for a payload that does not fit or cannot be serialized
   * @throws ConfigurationError for a bad topic, header or option, or a class without `@Event`
   * @throws MessageTooLargeError, UnroutableError (`unroutable: 'reject'`), PublishRejectedError, BrokerBlockedError,
   *   PublishTimeoutError (outcome unknown if `sent`), ConnectionError (refused for good), TopologyConflictError (of the
   *   exchange), BusClosedError
   * @example
   * await bus.publish('orders.created', { id: '42' });
   * await bus.publish(new OrderCreated('42'));
   * @publicApi
   */
  publish<T>(
    event: EventDefinition<T> | EventClass<T>,
    payload: T,
    options?: EventPublishOptions,
  ): Promise<PublishReceipt>;
  publish(event: object, options?: EventPublishOptions): Promise<PublishReceipt>;
  publish(topic: string, payload: unknown, options?: EventPublishOptions): Promise<PublishReceipt>;
  publish(first: string | object, second?: unknown, third?: EventPublishOptions): Promise<PublishReceipt> {
    if (typeof first === 'string') return this.publisher.publish('events', first, second, third);
    return this.publishTyped('events', first, second, third);
  }

  /**
   * Publishes to every running instance that subscribes to the topic, once per instance; at most once each.
   *
   * @example await bus.broadcast('cache.invalidate', { key: 'prices' });
   * @publicApi
   */
  broadcast<T>(
    event: EventDefinition<T> | EventClass<T>,
    payload: T,
    options?: EventPublishOptions,
  ): Promise<PublishReceipt>;
  broadcast(event: object, options?: EventPublishOptions): Promise<PublishReceipt>;
  broadcast(topic: string, payload: unknown, options?: EventPublishOptions): Promise<PublishReceipt>;
  broadcast(first: string | object, second?: unknown, third?: EventPublishOptions): Promise<PublishReceipt> {
    if (typeof first === 'string') return this.publisher.publish('broadcasts', first, second, third);
    return this.publishTyped('broadcasts', first, second, third);
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
   * Gives the events that no group got and that were published with `unroutable: 'store'`, the oldest first, and forgets them.
   * They are in the memory of this process only, the latest 1 000 and 16 MiB of them unless `publish.unroutableStore` says
   * otherwise; `stats().unroutableDropped` counts what was dropped.
   *
   * @example
   * for (const { topic, payload, id, headers } of bus.popUnroutables()) await bus.publish(topic, payload, { id, headers });
   * @publicApi
   */
  popUnroutables(): readonly UnroutableMessage[] {
    return this.unroutables.pop();
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
    if (this.lifecycle.isClosing) throw new BusClosedError('subscribe');
    return this.subscriber.subscribe(pattern, handler, options);
  }

  /**
   * The events of a pattern as an Observable; each subscriber has a private queue, and a lost connection can
   * leave a gap. Completes when the bus stops consuming.
   *
   * @example bus.observe<Order>('orders.#').subscribe(({ payload }) => console.log(payload));
   * @publicApi
   */
  observe<T = unknown>(
    pattern: string | readonly string[],
    { onReady, ...options }: ObserveOptions = {},
  ): Observable<EventMessage<T>> {
    return observe<T>((handler) => this.subscribe(pattern, handler, options), onReady, this.lifecycle.ended);
  }

  /**
   * Starts the decorated consumers; needed only with `autoStart: false`. Idempotent.
   *
   * @publicApi
   */
  start(): Promise<void> {
    return this.lifecycle.start();
  }

  /** Counters of this process since it started. @publicApi */
  stats(): EventBusStats {
    return { ...this.counters.read(), groups: this.consumption.stats() };
  }

  /** What the bus is made of, for operators: names, numbers and states, never a secret. @publicApi */
  describe(): Readonly<Record<string, unknown>> {
    const { name, options, transport, serializer } = this.parts;
    const { leftovers } = this.lifecycle;
    return {
      name,
      service: options.service,
      namespace: options.namespace,
      status: this.status,
      exchange: describeExchange(this.exchanges.main),
      exchanges: this.exchanges.declared.slice(1).map(describeExchange),
      contentType: serializer.contentType,
      transport: transport.describe(),
      capabilities: transport.capabilities,
      vanishedGroups: leftovers.vanished,
      stalePatterns: leftovers.stale,
      groups: [...this.consumption.groups].map(describeGroup),
    };
  }

  /** What a log or a debugger prints: never a secret, never a payload. */
  override toJSON(): unknown {
    return this.describe();
  }

  /** Connects and declares what the decorated handlers need; publishes go out from then on. @internal */
  prepare(registrations: readonly HandlerRegistration[]): Promise<void> {
    return this.lifecycle.prepare(registrations);
  }

  /** Stops consuming: by the deadline, what runs has ended or was given back. Idempotent. @internal */
  drain(): Promise<void> {
    return this.lifecycle.drain();
  }

  /** Drains, sends what is buffered, closes. Idempotent. @internal */
  close(): Promise<void> {
    return this.lifecycle.close();
  }

  private publishTyped(
    kind: PublishKind,
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
      return this.publisher.publish(kind, definition.topic, second, third, definition);
    }
    return this.publisher.publish(kind, definition.topic, first, second as EventPublishOptions | undefined, definition);
  }

  private async publishOne(event: OutgoingEvent): Promise<PublishReceipt> {
    const { topic, payload, options } = event as { topic?: unknown; payload?: unknown; options?: EventPublishOptions };
    const prototype: unknown = Object.getPrototypeOf(event);
    if (typeof topic === 'string' && (prototype === Object.prototype || prototype === null)) {
      if (options?.background)
        throw new ConfigurationError(
          'publishAll waits for each event: leave background out, or publish them one by one.',
        );
      return this.publisher.publish('events', topic, payload, options, undefined, true);
    }
    const definition = this.registry.get(event);
    return this.publisher.publish('events', definition.topic, event, undefined, definition, true);
  }
}
