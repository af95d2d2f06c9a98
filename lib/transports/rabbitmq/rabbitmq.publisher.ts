import type { Message as AmqpMessage, ConfirmChannel } from 'amqplib';
import {
  BrokerBlockedError,
  BusClosedError,
  ConnectionError,
  EventBusError,
  PublishRejectedError,
  PublishTimeoutError,
} from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import { type Outgoing, PublishBacklog } from '../../core/publish-backlog.js';
import type { OnFailed, Routed, TransportPublishOptions } from '../../core/transport.js';
import {
  answerLost,
  type ChannelError,
  isChannelClosing,
  openConfirmChannel,
  reasonOfClose,
  rpc,
  SupervisedChannel,
} from './rabbitmq.channel.js';
import { RabbitMqChannelWear } from './rabbitmq.channel-wear.js';
import { RabbitMqInFlight } from './rabbitmq.in-flight.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import type { PublisherSettings } from './rabbitmq.publisher.settings.js';
import { RabbitMqReturn } from './rabbitmq.return.js';
import { RabbitMqSuspects } from './rabbitmq.suspects.js';
import { type AmqpTarget, asBuffer, exchangeName, propertiesFor, routingKeyOf } from './rabbitmq.target.js';
import { WriteBatch } from './rabbitmq.write-batch.js';

const ROUTED: Routed = Object.freeze({ routed: true });

/**
 * Publishes with confirms: in order, a window at a time. What a lost channel leaves unconfirmed is sent again with the
 * same id, before everything else. A message that makes the broker close the channel is found by sending parts of the
 * suspects, and rejects alone.
 */
export class RabbitMqPublisher {
  private readonly backlog: PublishBacklog<AmqpTarget>;
  private readonly channel: SupervisedChannel<ConfirmChannel>;
  private readonly inFlight = new RabbitMqInFlight();
  private readonly unlisten: () => void;
  private readonly suspects = new RabbitMqSuspects();
  private readonly wear: RabbitMqChannelWear;
  private isBlocked = false;
  private batch: WriteBatch | undefined;
  private refusal: Error | undefined;
  /** Why nothing can be published at present, and waiting would not help. */
  private obstacle: Error | undefined;

  constructor(
    link: RabbitMqLink,
    private readonly settings: PublisherSettings,
  ) {
    this.backlog = new PublishBacklog<AmqpTarget>(
      settings,
      this.inFlight,
      (outgoing) => this.timeoutError(outgoing),
      (outgoing) => this.onGivenUp(outgoing),
    );
    this.channel = new SupervisedChannel(link, openConfirmChannel, {
      setUp: async (channel, connection) => {
        this.batch = new WriteBatch(connection);
        channel.on('return', (message: AmqpMessage) => this.inFlight.return(new RabbitMqReturn(message)));
        await settings.prepare(channel, connection);
      },
      onReady: () => {
        this.wear.reset();
        this.obstacle = undefined;
        settings.onPrepared?.();
        this.pump();
      },
      onLost: (_, error) => this.onLost(error),
      onSetUpFailed: (error) => this.onPrepareFailed(error),
    });
    this.wear = new RabbitMqChannelWear(settings.window, () => this.channel.renew(), settings.bound?.isNeeded);
    this.unlisten = link.listen({
      onBlocked: (isBlocked) => {
        this.isBlocked = isBlocked;
        this.pump();
      },
      onDown: () => {
        this.isBlocked = false;
      },
      onRefused: (error) => {
        this.refusal = error;
        this.backlog.close(() => error);
      },
    });
  }

  /** Why every publish is refused for now. */
  get hopeless(): Error | undefined {
    return this.refusal ?? this.obstacle;
  }

  get pending(): number {
    return this.backlog.pending;
  }

  get waiting(): number {
    return this.backlog.size;
  }

  open(): void {
    this.channel.open();
  }

  publish(target: AmqpTarget, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    const { hopeless } = this;
    if (hopeless) return Promise.reject(hopeless);
    const { writable } = this;
    const room = writable ? Math.max(0, this.settings.window - this.inFlight.size) : 0;
    const settled = this.backlog.add(target, message, options, room);
    if (writable) this.pump();
    return settled;
  }

  /**
   * Publishes what has to wait for nothing, without telling when it was taken. What a lost channel leaves unconfirmed is sent
   * again, as everything.
   *
   * @returns false when it would have to wait: then nothing was done
   */
  tryPublish(target: AmqpTarget, message: Message, timeoutMs: number, onFailed: OnFailed): boolean {
    const { writable: channel, backlog, suspects } = this;
    if (!channel || this.hopeless || backlog.isClosed || backlog.size > 0) return false;
    if (this.inFlight.size >= this.settings.window || this.wear.isWornOut || suspects.isTrying) return false;
    const outgoing = backlog.track(target, message, timeoutMs, onFailed);
    if (this.send(channel, outgoing)) return true;
    outgoing.discard(); // it waits for the next channel
    return false;
  }

  /** Takes nothing more, sends what it can by the deadline, and rejects the rest. */
  async close(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    this.backlog.stop();
    await this.backlog.settle(this.refusal ? 0 : deadlineMs);
    this.backlog.close((outgoing) => new BusClosedError('publish', outgoing.sent));
    this.wear.reset();
    this.unlisten();
    await this.channel.close(Math.min(1_000, Math.max(50, end - Date.now())));
  }

  private get writable(): ConfirmChannel | undefined {
    return this.isBlocked ? undefined : this.channel.current;
  }

  private pump(): void {
    const channel = this.writable;
    if (!channel) return;
    while (!this.wear.isWornOut) {
      const outgoing = this.backlog.peek();
      if (!outgoing || !this.maySend(outgoing)) break;
      this.backlog.shift();
      if (!this.send(channel, outgoing)) return;
    }
    if (this.suspects.ask()) void this.tryPart(channel);
  }

  private maySend({ isSuspect }: Outgoing<AmqpTarget>): boolean {
    const isRoom = this.inFlight.size < this.settings.window;
    return isRoom && (isSuspect ? this.suspects.mayTry() : !this.suspects.isTrying);
  }

  /** The broker works a channel off in order: its answer clears what was sent before, confirmed or not. Never rejects. */
  private async tryPart(channel: ConfirmChannel): Promise<void> {
    try {
      await rpc(channel.prefetch(0), 'say that a channel stands'); // without consumers it changes nothing
    } catch (error) {
      // otherwise it is gone, of which onLost hears
      if (error instanceof ConnectionError && channel === this.channel.current) this.channel.renew();
      return;
    }
    if (channel !== this.channel.current) return;
    for (const outgoing of this.inFlight) outgoing.isSuspect = false;
    this.suspects.passed();
    this.goOn();
  }

  /** @returns false when the channel is closing; then its loss is about to be told, and the message waits for the next one */
  private send(channel: ConfirmChannel, outgoing: Outgoing<AmqpTarget>): boolean {
    const { target, message } = outgoing;
    this.inFlight.add(outgoing);
    if (outgoing.isSuspect) this.suspects.tried();
    this.batch?.begin();
    try {
      channel.publish(
        exchangeName(target),
        routingKeyOf(target, message),
        asBuffer(message.body),
        propertiesFor(target, message),
        (error: Error | null) => this.onConfirm(outgoing, error),
      );
      outgoing.sent = true;
      this.wear.sent();
      return true;
    } catch (error) {
      this.inFlight.delete(outgoing);
      if (isChannelClosing(error)) {
        this.backlog.putBack([outgoing]);
        return false;
      }
      outgoing.reject(
        new PublishRejectedError(
          `The message cannot be written as AMQP${error instanceof RangeError ? ': its headers are larger than 64 KiB' : ''}.`,
          { cause: error, retryable: false },
          'NOT_ENCODABLE',
        ),
      );
      return true;
    }
  }

  private onPrepareFailed(error: Error): void {
    this.settings.onPrepareFailed?.(error);
    if (!(error instanceof EventBusError) || error.retryable) return;
    this.obstacle = error;
    this.backlog.rejectAll(() => error);
  }

  private onConfirm(outgoing: Outgoing<AmqpTarget>, error: Error | null): void {
    // any other error says that the channel is gone, which onLost hears as well
    if (error !== null && error.message !== 'message nacked') return;
    if (!this.inFlight.delete(outgoing)) {
      this.wear.answered();
      return;
    }
    const { returned } = outgoing;
    if (error !== null) this.onNack(outgoing);
    else outgoing.resolve(returned === undefined ? ROUTED : { routed: false, returned });
    this.goOn();
  }

  /**
   * Its place in the window goes to others: a queue that confirms nothing must not stop those that do. The driver still
   * keeps it, so that after a window of them the channel is exchanged.
   */
  private onGivenUp(outgoing: Outgoing<AmqpTarget>): void {
    if (!this.inFlight.delete(outgoing)) return;
    this.wear.gaveUp(outgoing.isSuspect);
    this.goOn();
  }

  private onNack(outgoing: Outgoing<AmqpTarget>): void {
    outgoing.reject(
      new PublishRejectedError('The broker refused the message (queue full, or an internal error).', {}, 'NACKED'),
    );
    this.wear.refused();
  }

  /** After each answer: with the next messages, or, where nothing is under way on a channel that is worn out, with another. */
  private goOn(): void {
    if (!this.wear.isWornOut) {
      if (this.backlog.size > 0) this.pump();
    } else if (this.inFlight.size === 0) {
      this.channel.renew();
    }
  }

  private onLost(error: ChannelError | undefined): void {
    const sent = this.inFlight.drain();
    const { isTrying } = this.suspects;
    const accused = error && isTrying ? sent.filter(({ isSuspect }) => isSuspect) : sent;
    // what has been given up is not in flight, and may be to blame
    const isAlone = accused.length === 1 && !this.wear.hasUnanswered;
    this.suspects.forget();
    this.wear.reset();
    if (error && isAlone && (isTrying || error.code !== 404)) {
      accused[0]?.reject(
        new PublishRejectedError(
          `The broker closed the channel because of this message: ${reasonOfClose(error)}`,
          { cause: error, retryable: false },
          'CHANNEL_CLOSED',
        ),
      );
    } else if (error && !this.settings.bound) {
      // a missing exchange is declared again with the next channel; only who fails again is to blame
      this.suspects.accuse(accused.length);
      for (const outgoing of accused) outgoing.isSuspect = true;
    }
    if (this.settings.bound) for (const outgoing of sent) outgoing.reject(answerLost());
    else this.backlog.putBack(sent);
    this.settings.bound?.onLost();
  }

  private timeoutError(outgoing: Outgoing<AmqpTarget>): Error {
    const { message, timeoutMs, sent } = outgoing;
    if (this.isBlocked && !sent) return new BrokerBlockedError(message.topic, timeoutMs);
    return new PublishTimeoutError(message.topic, timeoutMs, sent);
  }
}
