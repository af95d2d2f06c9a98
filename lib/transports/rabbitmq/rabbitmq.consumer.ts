import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { RELEASE } from '../../core/delivery.js';
import { BusClosedError, ConfigurationError, ConnectionError, TopologyConflictError } from '../../core/errors.js';
import { describeError } from '../../core/failure.js';
import { DEFAULTS } from '../../core/limits.js';
import type { BusLogger } from '../../core/logger.js';
import { Outstanding } from '../../core/outstanding.js';
import type { ConsumeEvents, Consumer, Source } from '../../core/transport.js';
import { closeQuietly, openChannel, rpc, SupervisedChannel } from './rabbitmq.channel.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';
import { type DeliveryOwner, RabbitMqDelivery } from './rabbitmq.delivery.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { assertSupported, declareSource } from './rabbitmq.topology.js';
import { WriteBatch } from './rabbitmq.write-batch.js';

/** One consumer with a channel of its own, which comes back whatever takes it away. */
export class RabbitMqConsumer implements Consumer, DeliveryOwner {
  readonly group: string | undefined;
  readonly deadLetterGroup: string;
  private readonly channel: SupervisedChannel<Channel>;
  private readonly outstanding = new Outstanding<RabbitMqDelivery>();
  private readonly stop = new AbortController();
  private readonly unlisten: () => void;
  private readonly first: Promise<void>;
  private begun: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  /** The channel whose deliveries can be settled. */
  private live: Channel | undefined;
  private batch: WriteBatch | undefined;
  private tag: string | undefined;
  private queue = '';
  private setUps = 0;
  private isPaused = false;
  private isWarned = false;
  private closing: Promise<void> | undefined;

  constructor(
    link: RabbitMqLink,
    readonly copies: RabbitMqCopies,
    private readonly source: Source,
    private readonly events: ConsumeEvents,
    private readonly logger: BusLogger,
    private readonly onClosed: (consumer: RabbitMqConsumer) => void,
  ) {
    assertSupported(source);
    this.group = source.group;
    this.deadLetterGroup = source.deadLetterGroup;
    this.first = new Promise<void>((resolve, reject) => {
      this.begun = { resolve, reject };
    });
    this.channel = new SupervisedChannel(link, openChannel, {
      setUp: (channel, connection) => this.setUp(channel, connection),
      onReady: () => this.onReady(),
      onLost: (_, error) => this.onLost(error),
      onSetUpFailed: (error) => this.onSetUpFailed(error),
    });
    this.unlisten = link.listen({ onRefused: (error) => this.begun?.reject(error) });
  }

  get state(): Consumer['state'] {
    if (this.closing) return 'closed';
    if (!this.channel.current) return 'recovering';
    return this.isPaused ? 'paused' : 'running';
  }

  get closed(): AbortSignal {
    return this.stop.signal;
  }

  /** Resolves when it consumes for the first time. */
  start(): Promise<void> {
    this.channel.open();
    return this.first;
  }

  isCurrent(channel: Channel): boolean {
    return this.live === channel;
  }

  beforeWrite(): void {
    this.batch?.begin();
  }

  settled(delivery: RabbitMqDelivery): void {
    this.outstanding.delete(delivery);
  }

  copyFailed(error: unknown): void {
    this.logger.warn(
      `${this.name}: a retry or dead-letter copy could not be stored (${describeError(error)}); the delivery is held.`,
    );
  }

  async pause(): Promise<void> {
    if (this.isPaused || this.closing) return;
    this.isPaused = true;
    await this.cancel();
  }

  async resume(): Promise<void> {
    if (!this.isPaused || this.closing) return;
    this.isPaused = false;
    const channel = this.channel.current;
    if (channel) await this.consume(channel);
  }

  close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(deadlineMs);
    return this.closing;
  }

  private get name(): string {
    return this.group ?? `${this.source.owner} (private)`;
  }

  private async setUp(channel: Channel, connection: ChannelModel): Promise<void> {
    this.batch = new WriteBatch(connection);
    // a name of its own each time: the broker may still hold the queue of the connection that was lost
    this.queue = this.group ?? `${this.source.owner}.private.${randomUUID()}`;
    await declareSource(connection, this.source, this.queue);
    await rpc(channel.prefetch(this.source.prefetch), 'set the prefetch');
    if (!this.isPaused) await this.consume(channel);
  }

  private async consume(channel: Channel): Promise<void> {
    const onMessage = (message: ConsumeMessage | null): void => this.onMessage(channel, message);
    // the first deliveries come together with the answer
    this.live = channel;
    const { consumerTag } = await rpc(channel.consume(this.queue, onMessage), `consume "${this.queue}"`);
    this.tag = consumerTag;
    // paused or closed while the broker was asked
    if (this.isPaused || this.closing) await this.cancel();
  }

  private async cancel(ms?: number): Promise<void> {
    const { tag, live: channel } = this;
    this.tag = undefined;
    if (!channel || tag === undefined) return;
    try {
      await rpc(channel.cancel(tag), 'cancel a consumer', ms);
    } catch {
      // the channel went meanwhile, and the consumer with it
    }
  }

  private onMessage(channel: Channel, message: ConsumeMessage | null): void {
    if (message === null) {
      this.onCancelled(channel);
      return;
    }
    const delivery = new RabbitMqDelivery(this, channel, message);
    this.outstanding.add(delivery);
    if (this.closing) void delivery.settle(RELEASE);
    else this.events.deliver(delivery);
  }

  /** The broker has taken the consumer away: its queue was deleted or has moved. */
  private onCancelled(channel: Channel): void {
    if (this.closing || this.isPaused) return;
    this.warnOnce('its consumer was cancelled by the broker (queue deleted or moved)');
    closeQuietly(channel);
  }

  private onReady(): void {
    this.setUps++;
    if (this.setUps > 1) {
      this.logger.log(`${this.name}: consuming again.`);
      if (this.group === undefined) this.events.gap?.();
    }
    this.isWarned = false;
    this.begun?.resolve();
  }

  private onLost(error: Error | undefined): void {
    this.lose();
    if (error) this.warnOnce(`its channel was closed by the broker: ${error.message}`);
  }

  private lose(): void {
    this.tag = undefined;
    this.live = undefined;
    this.outstanding.lose(new ConnectionError('The channel of this delivery is gone; it comes again.'));
  }

  private onSetUpFailed(error: Error): void {
    this.lose();
    if (error instanceof TopologyConflictError || error instanceof ConfigurationError) this.begun?.reject(error);
    this.warnOnce(`cannot consume, trying again: ${error.message}`);
  }

  private warnOnce(text: string): void {
    if (this.isWarned || this.closing) return;
    this.isWarned = true;
    this.logger.warn(`${this.name}: ${text}`);
  }

  private async shutDown(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    this.begun?.reject(new BusClosedError('subscribe'));
    this.first.catch(() => undefined); // whoever waits for it is told; nobody has to wait
    const left = (): number => Math.max(50, end - Date.now());
    await this.cancel(left());
    await this.outstanding.drain(Math.max(0, end - Date.now()));
    this.stop.abort();
    const channel = this.channel.current;
    if (this.group === undefined && channel) {
      await rpc(channel.deleteQueue(this.queue), 'delete a private queue', Math.min(1_000, left())).catch(
        () => undefined,
      ); // goes with the connection
    }
    await this.channel.close(Math.min(1_000, left()));
    this.unlisten();
    this.onClosed(this);
  }
}
