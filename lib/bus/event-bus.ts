import type { Observable } from 'rxjs';
import { Described } from '../core/described.js';
import { BusClosedError, ConfigurationError } from '../core/errors.js';
import { describeBus } from './bus-description.js';
import { BusExchanges } from './bus-exchanges.js';
import { BusLifecycle, type EventBusStatus } from './bus-lifecycle.js';
import { Consumption } from './consumption.js';
import { type ControlChannel, controlChannelOf } from './control-channel.js';
import type { EventBusParts } from './event-bus.parts.js';
import type { EventBusStats } from './event-bus.stats.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import { EventRegistry } from './event-registry.js';
import { GeneralCache } from './general-cache.js';
import type { HandlerRegistration } from './group-definition.js';
import { decoderOf } from './message-decoder.js';
import { type ObserveOptions, observe } from './observe.js';
import { publishAll } from './publish-all.js';
import type { EventPublishOptions, OutgoingEvent, PublishAllResult, PublishReceipt } from './publish-options.js';
import { Publishing } from './publishing.js';
import { Recorder } from './recorder.js';
import { type EventMessage, type SubscribeHandler, type SubscribeOptions, Subscriber } from './subscriber.js';
import type { Subscription } from './subscription.js';
import type { RecordOptions, SubscriptionCache } from './subscription-cache.js';
import type { UnroutableMessage } from './unroutable-message.js';

/** The bus without Nest: publish, subscribe, status, and the steps of its life that the Nest layer calls in order. */
export class EventBus extends Described {
  /** What the instances on the main exchange tell each other. @internal */
  readonly control: ControlChannel;
  protected readonly registry = new EventRegistry();
  protected readonly exchanges: BusExchanges;
  protected readonly publishing: Publishing;
  private readonly consumption: Consumption;
  private readonly subscriber: Subscriber;
  private readonly lifecycle: BusLifecycle;
  private readonly recorder: Recorder;
  private readonly general: GeneralCache;

  constructor(private readonly parts: EventBusParts) {
    super();
    const { options, transport, logger } = parts;
    if (transport.capabilities.durable && options.service === undefined) {
      throw new ConfigurationError(
        `service is required with the ${transport.name} transport: it names the queues. Set { service: 'orders' } in EventBusModule.forRoot().`,
      );
    }
    this.control = controlChannelOf(parts);
    const exchanges = new BusExchanges(options, parts.exchange, parts.exchanges);
    this.exchanges = exchanges;
    const decoder = decoderOf(parts);
    this.publishing = new Publishing({
      ...parts,
      exchanges,
      decoder,
      registry: this.registry,
      sourceOf: (group) => this.consumption.findSource(group),
    });
    this.consumption = new Consumption({
      options,
      transport,
      exchanges,
      decoder,
      scope: options.consume.asyncContext ? parts.scope : parts.scope.untracked(),
      logger,
      emit: this.publishing.emit,
      registry: this.registry,
      middleware: parts.consumeMiddleware,
      inbox: parts.inbox,
      watch: parts.watch,
      delays: parts.delays,
    });
    this.lifecycle = new BusLifecycle(
      parts,
      this.consumption,
      exchanges,
      this.publishing.alternates,
      (deadlineMs) => Promise.all([this.control.close(deadlineMs), this.publishing.settle(deadlineMs)]),
      () => this.general.connected(),
    );
    this.subscriber = new Subscriber({ ...parts, exchanges }, this.consumption, this.registry);
    this.recorder = new Recorder((pattern, handler, o) => this.subscribe(pattern, handler, o), logger);
    exchanges.get(options.cache?.limits.exchange); // told now if there is none
    this.general = new GeneralCache(options.cache, (patterns, o) => this.recorder.record(patterns, o));
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
   *   exchange), ChainTooDeepError (inside a handler), BusClosedError
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
    return this.publishing.events.publish('events', first, second, third);
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
    return this.publishing.events.publish('broadcasts', first, second, third);
  }

  /**
   * Publishes a sequence of any length in order, with back-pressure: at most one window is in memory.
   *
   * @returns how many were confirmed, and which failed why; a failure does not stop the rest
   * @example await bus.publishAll(rows.map((row) => ({ topic: 'rows.imported', payload: row })));
   * @publicApi
   */
  publishAll(events: Iterable<OutgoingEvent> | AsyncIterable<OutgoingEvent>): Promise<PublishAllResult> {
    return publishAll(events, this.parts.options.publish.window, (event) => this.publishing.events.publishOne(event));
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
    return this.publishing.unroutables.pop();
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
   * Keeps the events of a pattern, class or definition for whoever reads them or waits for them: a test, a script, a step of a
   * conversation. Resolves when the binding is in force: what is published from then on is kept.
   *
   * Without `group` it has a private queue, and a lost connection can leave a gap (`onGap`). `capacity` (default 200) and
   * `capacityBytes` (default 64 MiB) bound it; `overflow` says what then is dropped.
   *
   * @throws as `subscribe`
   * @example
   * const orders = await bus.record<Order>('orders.*');
   * const { payload } = await orders.waitForOne(new OrderCreated('42'), { timeoutMs: 5_000 });
   * @publicApi
   */
  record<T = unknown>(
    pattern: string | readonly string[] | EventClass<T> | EventDefinition<T>,
    options: RecordOptions = {},
  ): Promise<SubscriptionCache<T>> {
    return this.recorder.record(pattern, options);
  }

  /**
   * The general cache of the option `cache`: the same one each time, until it is closed. With the policy `on-demand` it begins
   * with the first call; when that fails, the next one tries again.
   *
   * @throws ConfigurationError when the option is not set, or `off`; else as `record`
   * @example
   * // EventBusModule.forRoot({ cache: { patterns: ['orders.#'], policy: 'on-connect' } })
   * const { payload } = await (await bus.cache<Order>()).waitFor(({ topic }) => topic === 'orders.created');
   * @publicApi
   */
  cache<T = unknown>(): Promise<SubscriptionCache<T>> {
    return this.general.get() as Promise<SubscriptionCache<T>>;
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
    return { ...this.publishing.counters.read(), groups: this.consumption.stats() };
  }

  /** What the bus is made of, for operators: names, numbers and states, never a secret. @publicApi */
  describe(): Readonly<Record<string, unknown>> {
    const { parts, status, exchanges, consumption } = this;
    return describeBus({ ...parts, status, exchanges, consumption, leftovers: this.lifecycle.leftovers });
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
  async drain(): Promise<void> {
    this.recorder.end();
    await Promise.all([this.control.depart(), this.lifecycle.drain()]);
  }

  /** Drains, sends what is buffered, closes. Idempotent. @internal */
  async close(): Promise<void> {
    this.recorder.end();
    await Promise.all([this.control.depart(), this.lifecycle.close()]);
  }

  /** Whether everything is declared, and the consumers are still to be started by whoever boots the application. */
  protected get isBootstrapping(): boolean {
    return this.parts.options.autoStart && !this.lifecycle.hasBegun;
  }

  /** Whether whoever starts it waits for the broker. */
  protected get isStartAwaited(): boolean {
    return this.parts.options.startup.mode === 'wait';
  }

  /** Whether a queue is consumed here, now or later. */
  protected hasOwn(queue: string): boolean {
    return [...this.consumption.groups].some(
      ({ source, definition }) => source.group === queue && definition.policy.enabled,
    );
  }
}
