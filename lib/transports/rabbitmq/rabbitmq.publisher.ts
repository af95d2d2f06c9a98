import type { ChannelModel, ConfirmChannel, Message as ReturnedMessage } from 'amqplib';
import {
  BrokerBlockedError,
  BusClosedError,
  MessageTooLargeError,
  PublishRejectedError,
  PublishTimeoutError,
} from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import { type BacklogOptions, type Outgoing, PublishBacklog } from '../../core/publish-backlog.js';
import type { Routed, Target, TransportPublishOptions } from '../../core/transport.js';
import { type ChannelError, openConfirmChannel, SupervisedChannel } from './rabbitmq.channel.js';
import { type CopyState, toProperties } from './rabbitmq.codec.js';
import type { RabbitMqLink } from './rabbitmq.link.js';
import { WriteBatch } from './rabbitmq.write-batch.js';

const ROUTED: Routed = Object.freeze({ routed: true });
const NOT_ROUTED: Routed = Object.freeze({ routed: false });
const FIRST_ATTEMPT: CopyState = Object.freeze({ attempt: 1 });

export interface PublisherSettings extends BacklogOptions {
  /** Unconfirmed messages in flight. */
  readonly window: number;
  /** What must stand before anything is published, after each (re)connect. */
  readonly prepare: (channel: ConfirmChannel, connection: ChannelModel) => Promise<void>;
  readonly onPrepared?: () => void;
  readonly onPrepareFailed?: (error: Error) => void;
}

/** A copy for one group's queue, its retry queue or its dead letters. */
interface CopyTarget {
  readonly kind: 'copy';
  readonly queue: string;
  readonly state: CopyState;
}

/**
 * Publishes with confirms: in order, a window at a time. What a lost channel leaves unconfirmed is sent again with the
 * same id, before everything else. A message that makes the broker close the channel is found by sending the suspects
 * one by one, and rejects alone.
 */
export class RabbitMqPublisher {
  private readonly backlog: PublishBacklog<Target | CopyTarget>;
  private readonly channel: SupervisedChannel<ConfirmChannel>;
  private readonly inFlight = new Set<Outgoing<Target | CopyTarget>>();
  private readonly unlisten: () => void;
  /** Of the messages at the front, how many may be what closed the channel. */
  private suspects = 0;
  private isBlocked = false;
  private batch: WriteBatch | undefined;
  private refusal: Error | undefined;

  constructor(
    link: RabbitMqLink,
    private readonly settings: PublisherSettings,
  ) {
    this.backlog = new PublishBacklog<Target | CopyTarget>(settings, this.inFlight, (outgoing) =>
      this.timeoutError(outgoing),
    );
    this.channel = new SupervisedChannel(link, openConfirmChannel, {
      setUp: async (channel, connection) => {
        this.batch = new WriteBatch(connection);
        channel.on('return', (returned: ReturnedMessage) => this.onReturn(returned));
        await settings.prepare(channel, connection);
      },
      onReady: () => {
        settings.onPrepared?.();
        this.pump();
      },
      onLost: (_, error) => this.onLost(error),
      onSetUpFailed: (error) => settings.onPrepareFailed?.(error),
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

  get pending(): number {
    return this.backlog.pending;
  }

  get waiting(): number {
    return this.backlog.size;
  }

  open(): void {
    this.channel.open();
  }

  publish(target: Target | CopyTarget, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    if (this.refusal) return Promise.reject(this.refusal);
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
    this.backlog.stop();
    await this.backlog.settle(this.refusal ? 0 : deadlineMs);
    this.backlog.close(new BusClosedError('publish'));
    this.unlisten();
    await this.channel.close(Math.min(1_000, deadlineMs));
  }

  private pump(): void {
    const channel = this.channel.current;
    if (!channel || this.isBlocked) return;
    while (this.inFlight.size < (this.suspects > 0 ? 1 : this.settings.window)) {
      const outgoing = this.backlog.shift();
      if (!outgoing) return;
      if (!this.send(channel, outgoing)) return;
    }
  }

  /** @returns false when the channel is closing; then its loss is about to be told, and the message waits for the next one */
  private send(channel: ConfirmChannel, outgoing: Outgoing<Target | CopyTarget>): boolean {
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
      return true;
    } catch (error) {
      this.inFlight.delete(outgoing);
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

  private onConfirm(outgoing: Outgoing<Target | CopyTarget>, error: Error | null): void {
    // any other error says that the channel is gone, which onLost hears as well
    if (error !== null && error.message !== 'message nacked') return;
    if (!this.inFlight.delete(outgoing)) return;
    if (this.suspects > 0) this.suspects--;
    if (error === null) outgoing.resolve(outgoing.returned ? NOT_ROUTED : ROUTED);
    else
      outgoing.reject(
        new PublishRejectedError('The broker refused the message (queue full, or an internal error).', {}, 'NACKED'),
      );
    if (this.backlog.size > 0) this.pump();
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
    // a missing exchange is declared again with the next channel; only who fails again is to blame
    if (error && sent.length === 1 && (error.code !== 404 || sent[0]?.isSuspect)) {
      this.suspects = Math.max(0, this.suspects - 1);
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
      this.suspects = sent.length;
      for (const outgoing of sent) outgoing.isSuspect = true;
    }
    this.backlog.putBack(sent);
  }

  private timeoutError(outgoing: Outgoing<Target | CopyTarget>): Error {
    const { timeoutMs, sent } = outgoing;
    const { topic } = outgoing.message;
    if (this.isBlocked && !sent) return new BrokerBlockedError(topic, timeoutMs);
    return new PublishTimeoutError(topic, timeoutMs, sent);
  }
}

/** Everything that is not for an exchange goes by the default exchange, straight to a queue. */
function exchangeName(target: Target | CopyTarget): string {
  return target.kind === 'exchange' ? target.exchange.name : '';
}

function routingKeyOf(target: Target | CopyTarget, message: Message): string {
  switch (target.kind) {
    case 'exchange':
      return message.topic;
    case 'group':
      return target.group;
    case 'copy':
      return target.queue;
    case 'reply':
      return target.address;
  }
}

function copyState(target: Target | CopyTarget): CopyState | undefined {
  if (target.kind === 'copy') return target.state;
  return target.kind === 'group' ? FIRST_ATTEMPT : undefined;
}

function asBuffer(body: Uint8Array): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

function isChannelClosing(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError';
}
