import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { withDeadline } from '../../core/deadline.js';
import { RELEASE } from '../../core/delivery.js';
import { Described } from '../../core/described.js';
import { BusClosedError, ConnectionError, EventBusError } from '../../core/errors.js';
import { describeError } from '../../core/failure.js';
import { DEFAULTS } from '../../core/limits.js';
import type { BusLogger } from '../../core/logger.js';
import type { ConsumeEvents, Consumer, DeclareMode, Source } from '../../core/transport.js';
import { openChannel, SupervisedChannel } from './rabbitmq.channel.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';
import type { DeliveryOwner, RabbitMqDelivery } from './rabbitmq.delivery.js';
import { changesQueue, ownMode, queueName, rulesQueue } from './rabbitmq.group-queues.js';
import { type IntakeEvents, RabbitMqIntake } from './rabbitmq.intake.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { RabbitMqPrivateQueue } from './rabbitmq.private-queue.js';
import { assertSupported, type RabbitMqTopology } from './rabbitmq.topology.js';

/** A message that has come back so often may be what ends the processes that handle it. */
const SUSPECT_RETURNS = 3;
/** Every delivery that is held tries again and again; it is told so often. */
const COPY_WARN_MS = 30_000;

export interface ConsumerParts {
  /** The connection that all consumers share. */
  readonly link: RabbitMqLink;
  readonly copies: RabbitMqCopies;
  readonly topology: RabbitMqTopology;
  readonly logger: BusLogger;
  readonly onClosed: (consumer: RabbitMqConsumer) => void;
  /** A message that its group does not want was acknowledged. */
  readonly onDropped: () => void;
}

/** One consumer with a channel of its own, which comes back whatever takes it away. */
export class RabbitMqConsumer extends Described implements Consumer, DeliveryOwner, IntakeEvents {
  readonly group: string | undefined;
  readonly deadLetterGroup: string;
  readonly queue: string;
  readonly copies: RabbitMqCopies;
  readonly declareMode: DeclareMode | undefined;
  private readonly stop = new AbortController();
  private readonly first: Promise<void>;
  private begun: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  private readonly channel: SupervisedChannel<Channel>;
  private readonly unlisten: () => void;
  /** What the present channel brings. */
  private intake: RabbitMqIntake | undefined;
  /** The private queue that was made last. */
  private made: RabbitMqPrivateQueue | undefined;
  private setUps = 0;
  private isPaused = false;
  /**
   * Each channel begins with one message: a process that dies counts against everything that it had been sent, and what
   * kills it comes first the next time. While that is what comes, it comes alone.
   */
  private isTrial = true;
  private isWarned = false;
  private copyWarnedAt = 0;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly parts: ConsumerParts,
    private readonly source: Source,
    private readonly events: ConsumeEvents,
    /** Another queue than the group's own, to consume for it and to declare nothing. */
    private readonly from?: string,
  ) {
    super();
    assertSupported(source);
    this.group = source.group;
    this.deadLetterGroup = source.deadLetterGroup;
    this.copies = parts.copies;
    this.queue = queueName(source);
    this.declareMode = ownMode(source);
    // every delivery that is held listens to it
    setMaxListeners(0, this.stop.signal);
    this.first = new Promise<void>((resolve, reject) => {
      this.begun = { resolve, reject };
    });
    this.channel = new SupervisedChannel(parts.link, openChannel, {
      setUp: (channel, connection) => this.setUp(channel, connection),
      onReady: () => this.onReady(),
      onLost: (_, error) => {
        this.events.interrupted?.();
        if (error) this.warnOnce(`its channel was closed by the broker: ${error.message}`);
      },
      onSetUpFailed: (error) => this.onSetUpFailed(error),
    });
    this.unlisten = parts.link.listen({ onRefused: (error) => this.begun?.reject(error) });
  }

  get state(): Consumer['state'] {
    if (this.closing) return 'closed';
    if (!this.channel.current) return 'recovering';
    return this.isPaused ? 'paused' : 'running';
  }

  /** Whether it holds no delivery. */
  get isIdle(): boolean {
    return this.intake?.isIdle ?? true;
  }

  get closed(): AbortSignal {
    return this.stop.signal;
  }

  /** Resolves when it consumes for the first time. */
  start(): Promise<void> {
    this.channel.open();
    return this.first;
  }

  copyFailed(error: unknown): void {
    if (Date.now() - this.copyWarnedAt < COPY_WARN_MS) return;
    this.copyWarnedAt = Date.now();
    this.parts.logger.warn(
      `${this.name}: a retry or dead-letter copy could not be stored (${describeError(error)}); the delivery is held.`,
    );
  }

  async pause(): Promise<void> {
    if (this.isPaused || this.closing) return;
    this.isPaused = true;
    await this.attune();
  }

  async resume(): Promise<void> {
    if (!this.isPaused || this.closing) return;
    this.isPaused = false;
    await this.attune();
  }

  close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(deadlineMs);
    return this.closing;
  }

  onDelivery(delivery: RabbitMqDelivery): void {
    if (this.isTrial && delivery.returns < SUSPECT_RETURNS) this.endTrial();
    if (this.closing) void delivery.settle(RELEASE);
    else this.events.deliver(delivery);
  }

  onCancelled(intake: RabbitMqIntake): void {
    if (this.closing || this.isPaused) return;
    this.warnOnce('its consumer was cancelled by the broker (queue deleted or moved, or a delivery held for too long)');
    this.abandon(intake);
  }

  onFailed(intake: RabbitMqIntake, error: unknown): void {
    this.warnOnce(`cannot consume, trying again: ${describeError(error)}`);
    this.abandon(intake);
  }

  onDropped(returns: number): void {
    this.parts.onDropped();
    if (this.isTrial && returns < SUSPECT_RETURNS) this.endTrial();
  }

  onDoubt(): void {
    const queue = this.from ?? this.queue;
    this.parts.logger.warn(
      `${this.name}: "${rulesQueue(queue)}" is empty although "${queue}" is in use: what it holds was lost, or is new. Its consumers write down what they ask for; for a moment nothing is dropped, and what has no handler is unmatched. Keep policies and purges away from "${rulesQueue(queue)}" and "${changesQueue(queue)}".`,
    );
  }

  override toJSON(): unknown {
    return { consumer: this.name, state: this.state };
  }

  private get name(): string {
    return this.group ?? `${this.source.owner} (private)`;
  }

  private async setUp(channel: Channel, connection: ChannelModel): Promise<void> {
    // a name of its own each time: the broker may still hold the queue of the connection that was lost
    const own = this.group === undefined ? `${this.source.owner}.private.${randomUUID()}` : this.queue;
    const queue = this.from ?? own;
    const intake = new RabbitMqIntake(channel, connection, queue, this.source.prefetch, this, this);
    const made = this.group === undefined ? new RabbitMqPrivateQueue(queue, connection) : undefined;
    await this.made?.drop(connection);
    this.made = made;
    const { topology } = this.parts;
    const sieve = await (this.from === undefined
      ? topology.declareSource(connection, this.source, queue)
      : topology.sieveFor(connection, this.source, this.from));
    if (this.closing) {
      await made?.drop(connection);
      throw new BusClosedError('subscribe');
    }
    intake.sift(sieve);
    this.intake = intake;
    // a private queue is new each time: nothing in it can have ended a process before
    this.isTrial = this.group !== undefined;
    await intake.tune(this.wanted);
  }

  private endTrial(): void {
    this.isTrial = false;
    void this.attune();
  }

  /** What the broker is asked for at present. */
  private get wanted(): number {
    if (this.isPaused || this.closing) return 0;
    return this.isTrial ? 1 : this.source.prefetch;
  }

  /** Asks for what is wanted now; what cannot be had brings another channel. Never rejects. */
  private async attune(): Promise<void> {
    const { intake } = this;
    try {
      await intake?.tune(this.wanted);
    } catch (error) {
      if (intake) this.onFailed(intake, error);
    }
  }

  /** Its deliveries come again on the next channel. */
  private abandon(intake: RabbitMqIntake): void {
    intake.abandon();
    if (intake === this.intake) this.channel.renew();
  }

  private onReady(): void {
    this.setUps++;
    if (this.setUps > 1) {
      this.parts.logger.log(`${this.name}: consuming again.`);
      if (this.group === undefined) this.events.gap?.();
    }
    this.isWarned = false;
    this.begun?.resolve();
  }

  private onSetUpFailed(error: Error): void {
    const isFinal = error instanceof EventBusError && !error.retryable;
    if (isFinal) this.begun?.reject(error);
    // whoever started it tells that it cannot start
    if (!isFinal || this.setUps > 0) this.warnOnce(`cannot consume, trying again: ${error.message}`);
  }

  private warnOnce(text: string): void {
    if (this.isWarned || this.closing) return;
    this.isWarned = true;
    this.parts.logger.warn(`${this.name}: ${text}`);
  }

  private async shutDown(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    this.begun?.reject(new BusClosedError('subscribe'));
    this.first.catch(() => undefined); // whoever waits for it is told; nobody has to wait
    const left = (): number => Math.max(50, end - Date.now());
    const { intake } = this;
    if (intake) {
      const cancelled = withDeadline(intake.tune(0), left(), () => new ConnectionError('The broker is silent.'));
      await cancelled.catch(() => intake.abandon());
    }
    await intake?.drain(Math.max(0, end - Date.now()));
    this.stop.abort();
    await this.channel.close(Math.min(1_000, left()));
    const { connection } = this.parts.link;
    await this.made?.drop(connection, Math.min(1_000, left())).catch(() => undefined); // goes with the connection
    this.unlisten();
    this.parts.onClosed(this);
  }
}
