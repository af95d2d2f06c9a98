import type { ChannelModel } from 'amqplib';
import { Described } from '../../core/described.js';
import { BusClosedError, ConnectionError, EventBusError, TopologyConflictError } from '../../core/errors.js';
import type { Exchange } from '../../core/exchange.js';
import { DEFAULTS } from '../../core/limits.js';
import type { BusLogger } from '../../core/logger.js';
import type { Message } from '../../core/message.js';
import type { BacklogOptions } from '../../core/publish-backlog.js';
import type {
  ConsumeEvents,
  Consumer,
  DeclareMode,
  OnFailed,
  ReplyOptions,
  ReplyPath,
  Routed,
  Source,
  Target,
  Topology,
  Transport,
  TransportCapabilities,
  TransportPublishOptions,
} from '../../core/transport.js';
import type { RabbitMqConnection } from './rabbitmq.connection.js';
import { type ConsumerParts, RabbitMqConsumer } from './rabbitmq.consumer.js';
import { RabbitMqCopies } from './rabbitmq.copies.js';
import { RabbitMqDeadLetters } from './rabbitmq.dead-letters.js';
import { EXCHANGE_TYPES, exchangesOf, RabbitMqExchanges } from './rabbitmq.exchanges.js';
import { queueName } from './rabbitmq.group-queues.js';
import { RabbitMqGroupRecord } from './rabbitmq.group-record.js';
import { type HeirParts, RabbitMqHeir } from './rabbitmq.heir.js';
import { RabbitMqPublisher } from './rabbitmq.publisher.js';
import { RabbitMqReplyPath } from './rabbitmq.reply-path.js';
import { isReplyAddress, strangeAddress } from './rabbitmq.target.js';
import { RabbitMqTopology } from './rabbitmq.topology.js';
import { RabbitMqWantedTopology } from './rabbitmq.wanted-topology.js';

const NO_RECORD = Object.freeze({ isRead: true, find: () => undefined });
const UNUSED_MS = 30_000;

export interface RabbitMqSettings extends BacklogOptions {
  readonly window: number;
  readonly declare: DeclareMode;
  /** How long the queue of a renamed group must have been empty and unused before it is removed. Default 30 000. */
  readonly unusedMs?: number;
}

/** RabbitMQ 3.10 and later: quorum queues, confirms, retry and dead-letter queues of each group's own. */
export class RabbitMqTransport extends Described implements Transport {
  readonly name = 'rabbitmq';
  readonly canReply = isReplyAddress;
  readonly capabilities: TransportCapabilities = Object.freeze({
    durable: true,
    ordered: 'single-consumer',
    delay: 'levels',
    unroutable: true,
    replay: false,
    exchangeTypes: EXCHANGE_TYPES,
  });
  readonly deadLetters: RabbitMqDeadLetters;
  private readonly publisher: RabbitMqPublisher;
  private readonly copies: RabbitMqCopies;
  private readonly declarations: RabbitMqTopology;
  private readonly exchanges: RabbitMqExchanges;
  private readonly consumers = new Set<RabbitMqConsumer>();
  private readonly consumerParts: ConsumerParts;
  private readonly replyPaths = new Set<RabbitMqReplyPath>();
  private readonly wanted = new RabbitMqWantedTopology();
  private connecting: Promise<void> | undefined;
  private begun: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  private closing: Promise<void> | undefined;
  /** Messages of emulated exchanges that reached a group which does not want them. */
  private dropped = 0;
  private readonly warned = new Set<string>();
  private readonly heirs = new Set<RabbitMqHeir>();
  private readonly heirParts: HeirParts;
  private readonly record: RabbitMqGroupRecord;

  constructor(
    readonly connection: RabbitMqConnection,
    private readonly settings: RabbitMqSettings,
    private readonly logger: BusLogger,
  ) {
    super();
    this.exchanges = new RabbitMqExchanges((purpose, work) => connection.apart(purpose, work), logger);
    this.declarations = new RabbitMqTopology(settings.declare, this.exchanges);
    this.publisher = new RabbitMqPublisher(connection.publish, {
      ...settings,
      prepare: (_, link) => this.declareAll(link),
      onPrepared: () => {
        this.warned.clear();
        this.begun?.resolve();
      },
      onPrepareFailed: (error) => this.onPrepareFailed(error),
    });
    this.copies = new RabbitMqCopies(connection.publish, this.publisher, this.declarations, (group) =>
      this.wanted.queueOf(group),
    );
    this.record = new RabbitMqGroupRecord(connection.publish);
    this.deadLetters = new RabbitMqDeadLetters(connection, this.copies);
    this.consumerParts = {
      link: connection.consume,
      copies: this.copies,
      topology: this.declarations,
      logger,
      onClosed: (closed) => this.consumers.delete(closed),
      onDropped: () => this.dropped++,
    };
    this.heirParts = {
      link: connection.publish,
      logger,
      unusedMs: settings.unusedMs ?? UNUSED_MS,
      declare: settings.declare,
      record: this.groupRecord ?? NO_RECORD,
      consume: (source, queue, events, signal) => this.consumeQueue(source, events, signal, queue),
      moveDeadLetters: (from, to) => this.deadLetters.move(from, to),
    };
  }

  /** None where everything is made by hand. */
  get groupRecord(): RabbitMqGroupRecord | undefined {
    return this.settings.declare === 'assert' ? this.record : undefined;
  }

  get obstacle(): Error | undefined {
    return this.publisher.hopeless;
  }

  connect(topology: Topology): Promise<void> {
    if (this.closing) return Promise.reject(new BusClosedError('connect'));
    if (this.connecting) return this.extend(topology, this.connecting);
    this.connecting = this.begin(topology);
    return this.connecting;
  }

  async declare(source: Source): Promise<void> {
    this.assertOpen('declare');
    const link = this.connection.publish.connection;
    if (!link) throw new ConnectionError(`"${source.group ?? source.owner}" cannot be declared: not connected.`);
    if (source.group === undefined) return this.addExchanges(link, exchangesOf(source));
    await this.declarations.declareSource(link, source, queueName(source));
    this.wanted.addSource(source);
  }

  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    if (target.kind === 'exchange') target.exchange.handler.assertTopic(message.topic);
    if (target.kind === 'reply' && !isReplyAddress(target.address)) return Promise.reject(strangeAddress());
    const to = target.kind === 'group' ? { ...target, group: this.wanted.queueOf(target.group) } : target;
    return this.publisher.publish(to, message, options);
  }

  tryReply(address: string, message: Message, timeoutMs: number, onFailed: OnFailed): boolean {
    return (
      isReplyAddress(address) && this.publisher.tryPublish({ kind: 'reply', address }, message, timeoutMs, onFailed)
    );
  }

  async consume(source: Source, events: ConsumeEvents, signal?: AbortSignal): Promise<Consumer> {
    const consumer = await this.consumeQueue(source, events, signal);
    this.wanted.addSource(source);
    if (!source.previous) return consumer;
    const heir = new RabbitMqHeir(consumer, source, events, this.heirParts);
    this.heirs.add(heir);
    return heir;
  }

  private async consumeQueue(
    source: Source,
    events: ConsumeEvents,
    signal?: AbortSignal,
    queue?: string,
  ): Promise<RabbitMqConsumer> {
    this.assertOpen('subscribe');
    signal?.throwIfAborted();
    const consumer = new RabbitMqConsumer(this.consumerParts, source, events, queue);
    this.consumers.add(consumer);
    const giveUp = (): void => void consumer.close({ deadlineMs: 0 });
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      await consumer.start();
    } catch (error) {
      await consumer.close({ deadlineMs: 1_000 });
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
    return consumer;
  }

  async openReplies(onReply: (message: Message) => void, options: ReplyOptions = {}): Promise<ReplyPath> {
    this.assertOpen('wait for replies');
    const path = new RabbitMqReplyPath(this.connection.publish, this.settings, onReply, options, () =>
      this.replyPaths.delete(path),
    );
    this.replyPaths.add(path);
    await path.open();
    return path;
  }

  describe(): Readonly<Record<string, unknown>> {
    const { state, endpoint, publish, consume } = this.connection;
    const { emulated } = this.exchanges;
    return {
      transport: this.name,
      endpoint,
      state,
      publish: { state: publish.state, pending: this.publisher.pending, waiting: this.publisher.waiting },
      consume: { state: consume.state, consumers: this.consumers.size },
      ...(emulated.length > 0 && { emulated: { exchanges: emulated, dropped: this.dropped } }),
    };
  }

  override toJSON(): unknown {
    return this.describe();
  }

  close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(deadlineMs);
    return this.closing;
  }

  private begin(topology: Topology): Promise<void> {
    this.wanted.begin(topology);
    const ready = new Promise<void>((resolve, reject) => {
      this.begun = { resolve, reject };
    });
    const { publish, consume } = this.connection;
    const onRefused = (error: Error): void => this.begun?.reject(error);
    let consumable: (() => void) | undefined;
    const isConsumable = new Promise<void>((resolve) => {
      consumable = resolve;
    });
    const unlisten = [publish.listen({ onRefused }), consume.listen({ onRefused, onUp: () => consumable?.() })];
    this.connection.open();
    this.publisher.open();
    return Promise.all([ready, isConsumable])
      .then(() => undefined)
      .finally(() => {
        for (const stop of unlisten) stop();
      });
  }

  /** For who uses it too. Only what could be declared is kept: a conflict is nothing to the others. */
  private async extend({ exchanges }: Topology, connecting: Promise<void>): Promise<void> {
    await this.addExchanges(this.connection.publish.connection, exchanges);
    await connecting;
  }

  /** Declared again with the others at every reconnect. */
  private async addExchanges(link: ChannelModel | undefined, exchanges: readonly Exchange[]): Promise<void> {
    const added = this.wanted.unknown(exchanges);
    if (link && added.length > 0) await this.declarations.declareAll(link, { exchanges: added, sources: [] });
    this.wanted.addExchanges(added);
  }

  /** A queue in conflict concerns its own group; only exchanges concern every publish. */
  private async declareAll(connection: ChannelModel): Promise<void> {
    const errors = await this.declarations.declareAll(connection, this.wanted.all);
    const [first] = errors;
    if (!first) return;
    const conflicts = errors.flatMap((error) => (error instanceof TopologyConflictError ? error.conflicts : []));
    this.begun?.reject(conflicts.length > 1 ? new TopologyConflictError(conflicts, { cause: first }) : first);
    for (const error of errors) this.warnOfTopology(error);
  }

  private onPrepareFailed(error: Error): void {
    const isFinal = error instanceof EventBusError && !error.retryable;
    if (isFinal) this.begun?.reject(error);
    this.warnOfTopology(error);
  }

  /** Each fault once, however often it is met. */
  private warnOfTopology({ message }: Error): void {
    if (this.closing || this.warned.has(message)) return;
    this.warned.add(message);
    this.logger.warn(`RabbitMQ: the topology cannot be declared as it should: ${message}`);
  }

  private async shutDown(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    const left = (): number => Math.max(50, end - Date.now());
    this.begun?.reject(new BusClosedError('connect'));
    this.connecting?.catch(() => undefined); // whoever waits for it is told; nobody has to wait
    const consuming = [...this.consumers, ...this.heirs];
    await Promise.all([this.deadLetters.close(deadlineMs), ...consuming.map((part) => part.close({ deadlineMs }))]);
    await Promise.all([this.publisher.close(left()), ...[...this.replyPaths].map((path) => path.close())]);
    await this.connection.close(left());
  }

  private assertOpen(what: string): void {
    if (this.closing) throw new BusClosedError(what);
    const refusal = this.connection.publish.refusal ?? this.connection.consume.refusal;
    if (refusal) throw refusal;
  }
}
