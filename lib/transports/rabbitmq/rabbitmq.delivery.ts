import type { Channel, ConsumeMessage } from 'amqplib';
import { pause } from '../../core/deadline.js';
import { type Delivery, LazySignal, type Settlement } from '../../core/delivery.js';
import { PublishRejectedError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { DeclareMode } from '../../core/transport.js';
import { attemptOf, defectOf, deferralsOf, firstFailedAtOf, missesOf, returnsOf, toMessage } from './rabbitmq.codec.js';
import type { RabbitMqCopies } from './rabbitmq.copies.js';

/** Between two tries to store a copy: so long at first, and doubled up to the second. */
const COPY_PAUSE_MS = 1_000;
const COPY_PAUSE_CAP_MS = 8_000;

type CopyOutcome = Extract<Settlement, { kind: 'retry' | 'dead' }>;

/** What a delivery needs of its consumer. */
export interface DeliveryOwner {
  readonly group: string | undefined;
  readonly deadLetterGroup: string;
  /** The queue of the group. */
  readonly queue: string;
  readonly copies: RabbitMqCopies;
  /** Of retry and dead-letter queues. */
  readonly declareMode: DeclareMode | undefined;
  /** Aborted when the consumer has closed. */
  readonly closed: AbortSignal;
  copyFailed(error: unknown): void;
}

/** The channel that a delivery came on. */
export interface SettlementPath {
  readonly isOpen: boolean;
  /** Aborted when it is gone. */
  readonly lost: AbortSignal;
  /** @returns false when the channel is gone; then nothing was sent, and the broker delivers again */
  settle(delivery: RabbitMqDelivery, write: (channel: Channel) => void): boolean;
}

/** One arrival on one channel; it can be settled there and nowhere else. */
export class RabbitMqDelivery extends LazySignal implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  private isSettled = false;

  constructor(
    private readonly owner: DeliveryOwner,
    private readonly path: SettlementPath,
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

  get defect(): string | undefined {
    return defectOf(this.raw);
  }

  get misses(): number {
    return missesOf(this.raw);
  }

  /** How often it has come back to its queue unsettled. */
  get returns(): number {
    return returnsOf(this.raw);
  }

  settle(outcome: Settlement): boolean | Promise<boolean> {
    if (this.isSettled) return false;
    this.isSettled = true;
    switch (outcome.kind) {
      case 'ack':
        return this.ack();
      case 'release':
        return this.path.settle(this, (channel) => channel.nack(this.raw, false, true));
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
    for (let pauseMs = COPY_PAUSE_MS; this.path.isOpen; pauseMs = Math.min(COPY_PAUSE_CAP_MS, 2 * pauseMs)) {
      try {
        await this.copy(outcome);
        return this.ack();
      } catch (error) {
        if (!this.path.isOpen) break;
        this.owner.copyFailed(error);
        await pause(pauseMs, this.owner.closed);
        if (isHopeless(error) || this.owner.closed.aborted) break;
      }
    }
    this.path.settle(this, (channel) => channel.reject(this.raw, true));
    return false;
  }

  private async copy(outcome: CopyOutcome): Promise<void> {
    const { group, deadLetterGroup, queue, copies, declareMode } = this.owner;
    const original = { queue, declareMode, lost: this.path.lost };
    const now = Date.now();
    const { failure } = outcome;
    const firstFailedAt = firstFailedAtOf(this.raw) ?? (failure ? now : undefined);
    if (outcome.kind === 'retry' && group !== undefined) {
      const { attempt, dueAt, delayMs, deferrals = this.deferrals, misses = this.misses } = outcome;
      await copies.retry(group, delayMs, this.message, { attempt, deferrals, misses, dueAt, firstFailedAt }, original);
      return;
    }
    const { reason, attempts: attempt = this.attempt } =
      outcome.kind === 'dead' ? outcome : { reason: 'not-retryable' };
    const state = { attempt, reason, failure, firstFailedAt: firstFailedAt ?? now, lastFailedAt: now };
    await copies.bury(group ?? deadLetterGroup, this.message, state, original);
  }

  private ack(): boolean {
    return this.path.settle(this, (channel) => channel.ack(this.raw));
  }
}

/** The copy itself cannot be written; a queue that is full, missing or forbidden may be mended. */
function isHopeless(error: unknown): boolean {
  return error instanceof PublishRejectedError && error.code === 'NOT_ENCODABLE';
}
