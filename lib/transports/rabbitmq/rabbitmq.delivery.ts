import type { Channel, ConsumeMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { type Delivery, LazySignal, type Settlement } from '../../core/delivery.js';
import { EventBusError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import { attemptOf, deferralsOf, firstFailedAtOf, toMessage } from './rabbitmq.codec.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';

/** Between two tries to store a copy. */
const COPY_FAILED_PAUSE_MS = 1_000;

type CopyOutcome = Extract<Settlement, { kind: 'retry' | 'dead' }>;

/** What a delivery needs of its consumer. */
export interface DeliveryOwner {
  readonly group: string | undefined;
  readonly deadLetterGroup: string;
  readonly copies: RabbitMqCopies;
  /** Aborted when the consumer has closed. */
  readonly closed: AbortSignal;
  isCurrent(channel: Channel): boolean;
  /** A frame is about to be written. */
  beforeWrite(): void;
  settled(delivery: RabbitMqDelivery): void;
  copyFailed(error: unknown): void;
}

/** One arrival on one channel; it can be settled there and nowhere else. */
export class RabbitMqDelivery extends LazySignal implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  private isSettled = false;

  constructor(
    private readonly owner: DeliveryOwner,
    private readonly channel: Channel,
    private readonly raw: ConsumeMessage,
  ) {
    super();
    this.message = toMessage(raw);
    this.attempt = attemptOf(raw);
  }

  get redelivered(): boolean {
    return this.raw.fields.redelivered || this.attempt > 1;
  }

  get deferrals(): number {
    return deferralsOf(this.raw);
  }

  settle(outcome: Settlement): boolean | Promise<boolean> {
    if (this.isSettled) return false;
    this.isSettled = true;
    switch (outcome.kind) {
      case 'ack':
        return this.finish(() => this.channel.ack(this.raw));
      case 'release':
        return this.finish(() => this.channel.nack(this.raw, false, true));
      case 'retry':
      case 'dead':
        return this.copyThenAck(outcome);
    }
  }

  /**
   * The copy first: if the process dies between the two there is one message too many, never one too few. While the copy
   * cannot be stored the delivery is held and the copy tried again: given back, it would run once more, as the same
   * attempt, and use up what the broker allows.
   */
  private async copyThenAck(outcome: CopyOutcome): Promise<boolean> {
    while (this.owner.isCurrent(this.channel)) {
      try {
        await this.copy(outcome);
        return this.finish(() => this.channel.ack(this.raw));
      } catch (error) {
        this.owner.copyFailed(error);
        await pause(COPY_FAILED_PAUSE_MS, this.owner.closed);
        const isHopeless = error instanceof EventBusError && !error.retryable;
        if (isHopeless || this.owner.closed.aborted) break;
      }
    }
    this.finish(() => this.channel.reject(this.raw, true));
    return false;
  }

  private async copy(outcome: CopyOutcome): Promise<void> {
    const { group, deadLetterGroup, copies } = this.owner;
    const now = Date.now();
    const { failure } = outcome;
    const firstFailedAt = firstFailedAtOf(this.raw) ?? (failure ? now : undefined);
    if (outcome.kind === 'retry' && group !== undefined) {
      const { attempt, dueAt, delayMs, deferrals = this.deferrals } = outcome;
      await copies.retry(group, delayMs, this.message, { attempt, deferrals, dueAt, firstFailedAt });
      return;
    }
    const reason = outcome.kind === 'dead' ? outcome.reason : 'not-retryable';
    const state = { attempt: this.attempt, reason, failure, firstFailedAt: firstFailedAt ?? now, lastFailedAt: now };
    await copies.bury(group ?? deadLetterGroup, this.message, state);
  }

  private finish(send: () => void): boolean {
    if (!this.owner.isCurrent(this.channel)) return false;
    this.owner.beforeWrite();
    try {
      send();
    } catch {
      return false; // the channel has just begun to close; the broker delivers again
    }
    this.owner.settled(this);
    return true;
  }
}
