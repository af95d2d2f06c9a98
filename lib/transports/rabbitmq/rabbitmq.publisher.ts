import type { ChannelModel, ConfirmChannel, Message as ReturnedMessage } from 'amqplib';
import {
  BrokerBlockedError,
  BusClosedError,
  EventBusError,
  MessageTooLargeError,
  PublishRejectedError,
  PublishTimeoutError,
} from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import { type BacklogOptions, type Outgoing, PublishBacklog } from '../../core/publish-backlog.js';
import type { Routed, TransportPublishOptions } from '../../core/transport.js';
import { type ChannelError, openConfirmChannel, SupervisedChannel } from './rabbitmq.channel.js';
import { type CopyState, toProperties } from './rabbitmq.codec.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { type AmqpTarget, asBuffer, copyState, exchangeName, routingKeyOf } from './rabbitmq.target.js';
import { WriteBatch } from './rabbitmq.write-batch.js';

/** After so many windows behind a message that is never confirmed, the channel is exchanged. */
const BEHIND_WINDOWS = 10;
/** So long after a first refusal a channel is exchanged at the next one. */
const NACKED_MS = 5_000;
const ROUTED: Routed = Object.freeze({ routed: true });
const NOT_ROUTED: Routed = Object.freeze({ routed: false });

export interface PublisherSettings extends BacklogOptions {
  /** Unconfirmed messages in flight. */
  readonly window: number;
  /** What must stand before anything is published, after each (re)connect. */
  readonly prepare: (channel: ConfirmChannel, connection: ChannelModel) => Promise<void>;
  readonly onPrepared?: () => void;
  readonly onPrepareFailed?: (error: Error) => void;
}

/**
 * Publishes with confirms: in order, a window at a time. What a lost channel leaves unconfirmed is sent again with the
 * same id, before everything else. A message that makes the broker close the channel is found by sending the suspects
 * one by one, and rejects alone.
 */
export class RabbitMqPublisher {
  private readonly backlog: PublishBacklog<AmqpTarget>;
  private readonly channel: SupervisedChannel<ConfirmChannel>;
  private readonly inFlight = new Set<Outgoing<AmqpTarget>>();
  private readonly unlisten: () => void;
  /** The one of those that may have closed the last channel that is under way: alone, so that only it can be to blame. */
  private probe: Outgoing<AmqpTarget> | undefined;
  private isBlocked = false;
  /** Sent on this channel, never confirmed, and no longer waited for. */
  private unanswered = 0;
  /** Sent since the first of those: the driver keeps a place for each. */
  private behind = 0;
  /** When this channel refused the first message. */
  private nackedAt: number | undefined;
  /** The channel is to be exchanged, when nothing is under way on it any more. */
  private isLeaving = false;
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
        channel.on('return', (returned: ReturnedMessage) => this.onReturn(returned));
        await settings.prepare(channel, connection);
      },
      onReady: () => {
        this.unanswered = 0;
        this.behind = 0;
        this.nackedAt = undefined;
        this.isLeaving = false;
        this.obstacle = undefined;
        settings.onPrepared?.();
        this.pump();
      },
      onLost: (_, error) => this.onLost(error),
      onSetUpFailed: (error) => this.onPrepareFailed(error),
    });
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
        this.backlog.close(error);
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
    const ready = this.channel.current !== undefined && !this.isBlocked;
    const room = ready ? Math.max(0, this.settings.window - this.inFlight.size) : 0;
    const settled = this.backlog.add(target, message, options, room);
    if (ready) this.pump();
    return settled;
  }

  /** Puts a copy straight into a queue. @returns whether the queue exists */
  async copy(queue: string, message: Message, state: CopyState): Promise<boolean> {
    const { routed } = await this.publish({ kind: 'copy', queue, state }, message, { onFull: 'wait' });
    return routed;
  }

  /** Takes nothing more, sends what it can by the deadline, and rejects the rest. */
  async close(deadlineMs: number): Promise<void> {
    const end = Date.now() + deadlineMs;
    this.backlog.stop();
    await this.backlog.settle(this.refusal ? 0 : deadlineMs);
    this.backlog.close(new BusClosedError('publish'));
    this.unlisten();
    await this.channel.close(Math.min(1_000, Math.max(50, end - Date.now())));
  }

  private pump(): void {
    const channel = this.channel.current;
    if (!channel || this.isBlocked) return;
    while (!this.probe && !this.isLeaving) {
      const outgoing = this.backlog.peek();
      if (!outgoing || this.inFlight.size >= (outgoing.isSuspect ? 1 : this.settings.window)) return;
      this.backlog.shift();
      if (outgoing.isSuspect) this.probe = outgoing;
      if (!this.send(channel, outgoing)) return;
    }
  }

  /** @returns false when the channel is closing; then its loss is about to be told, and the message waits for the next one */
  private send(channel: ConfirmChannel, outgoing: Outgoing<AmqpTarget>): boolean {
    const { target, message } = outgoing;
    this.inFlight.add(outgoing);
    this.batch?.begin();
    try {
      channel.publish(
        exchangeName(target),
        routingKeyOf(target, message),
        asBuffer(message.body),
        toProperties(message, copyState(target)),
        (error: Error | null) => this.onConfirm(outgoing, error),
      );
      outgoing.sent = true;
      if (this.unanswered > 0 && ++this.behind >= BEHIND_WINDOWS * this.settings.window) this.leave();
      return true;
    } catch (error) {
      this.take(outgoing);
      if (isChannelClosing(error)) {
        this.backlog.putBack([outgoing]);
        return false;
      }
      outgoing.reject(
        error instanceof RangeError
          ? new MessageTooLargeError('Headers', 65_536, 65_536)
          : new PublishRejectedError(
              'The message cannot be written as AMQP.',
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
    this.backlog.rejectAll(error);
  }

  private onConfirm(outgoing: Outgoing<AmqpTarget>, error: Error | null): void {
    // any other error says that the channel is gone, which onLost hears as well
    if (error !== null && error.message !== 'message nacked') return;
    if (!this.take(outgoing)) {
      // one of a channel that was exchanged meanwhile is counted no more
      if (this.unanswered > 0 && --this.unanswered === 0) this.behind = 0;
      return;
    }
    outgoing.isSuspect = false;
    if (error === null) outgoing.resolve(outgoing.returned ? NOT_ROUTED : ROUTED);
    else this.onNack(outgoing);
    if (this.isLeaving) this.leave();
    else if (this.backlog.size > 0) this.pump();
  }

  /**
   * Its place in the window goes to others: a queue that confirms nothing must not stop those that do. The driver still
   * keeps it, so that after a window of them the channel is exchanged.
   */
  private onGivenUp(outgoing: Outgoing<AmqpTarget>): void {
    const isProbe = this.probe === outgoing;
    if (!this.take(outgoing)) return;
    this.unanswered++;
    // a suspect may still close the channel, and must not take others with it
    if (isProbe || this.isLeaving || this.unanswered >= this.settings.window) this.leave();
    else this.pump();
  }

  /** A queue that was full may have room again, of which RabbitMQ 3.10 tells only new channels. */
  private onNack(outgoing: Outgoing<AmqpTarget>): void {
    outgoing.reject(
      new PublishRejectedError('The broker refused the message (queue full, or an internal error).', {}, 'NACKED'),
    );
    this.nackedAt ??= Date.now();
    if (Date.now() - this.nackedAt >= NACKED_MS) this.isLeaving = true;
  }

  /** Sends nothing more on this channel, and takes another one when all that is under way has its answer. */
  private leave(): void {
    this.isLeaving = true;
    if (this.inFlight.size === 0) this.channel.renew();
  }

  /** Out of what is under way. @returns whether it was */
  private take(outgoing: Outgoing<AmqpTarget>): boolean {
    if (this.probe === outgoing) this.probe = undefined;
    return this.inFlight.delete(outgoing);
  }

  /** Comes before the confirm of the same message, so the match is near the front. */
  private onReturn(returned: ReturnedMessage): void {
    const { messageId } = returned.properties;
    const { exchange, routingKey } = returned.fields as { readonly exchange: string; readonly routingKey: string };
    for (const outgoing of this.inFlight) {
      const { target, message } = outgoing;
      // copies of one message can be on their way to several queues
      if (message.id !== messageId || outgoing.returned) continue;
      if (exchangeName(target) !== exchange || routingKeyOf(target, message) !== routingKey) continue;
      outgoing.returned = true;
      return;
    }
  }

  private onLost(error: ChannelError | undefined): void {
    const sent = [...this.inFlight];
    this.inFlight.clear();
    this.probe = undefined;
    this.isLeaving = false;
    // a missing exchange is declared again with the next channel; only who fails again is to blame
    if (error && sent.length === 1 && (error.code !== 404 || sent[0]?.isSuspect)) {
      sent[0]?.reject(
        new PublishRejectedError(
          `The broker closed the channel because of this message: ${error.message}`,
          { cause: error, retryable: false },
          'CHANNEL_CLOSED',
        ),
      );
      return;
    }
    if (error) {
      for (const outgoing of sent) outgoing.isSuspect = true;
    }
    this.backlog.putBack(sent);
  }

  private timeoutError(outgoing: Outgoing<AmqpTarget>): Error {
    const { timeoutMs, sent } = outgoing;
    const { topic } = outgoing.message;
    if (this.isBlocked && !sent) return new BrokerBlockedError(topic, timeoutMs);
    return new PublishTimeoutError(topic, timeoutMs, sent);
  }
}

function isChannelClosing(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError';
}
