import { type Delays, sooner, TIMERS } from '../core/delays.js';
import { ACK, type Delivery, LazySignal, RELEASE, type Settlement } from '../core/delivery.js';
import type { Message } from '../core/message.js';
import type { ConsumeEvents } from '../core/transport.js';
import type { Runner } from './runner.js';

/** Where the final outcome of a private delivery goes. */
type Settle = (outcome: Settlement) => boolean | Promise<boolean>;

/**
 * A delivery of a queue that does not outlive its instance. It is retried in the process: a retry queue at the broker
 * would have nowhere to give it back to.
 */
export class PrivateDelivery extends LazySignal implements Delivery {
  constructor(
    private readonly inner: Delivery,
    private readonly owner: PrivateRetries,
    private readonly settleInner: Settle,
    readonly message: Message,
    readonly attempt: number,
    readonly deferrals: number,
  ) {
    super();
  }

  get defect(): string | undefined {
    return this.inner.defect;
  }

  get redelivered(): boolean {
    return this.inner.redelivered || this.attempt > 1;
  }

  /** Its own, since a timeout ends one attempt of one group; and that of the arrival, which ends them all. */
  override get signal(): AbortSignal {
    return AbortSignal.any([super.signal, this.inner.signal]);
  }

  override get aborted(): boolean {
    return super.aborted || this.inner.aborted;
  }

  settle(outcome: Settlement): boolean | Promise<boolean> {
    if (outcome.kind !== 'retry') return this.settleInner(outcome);
    const { dueAt, deferrals = this.deferrals, attempt } = outcome;
    const message = dueAt === undefined ? this.message : { ...this.message, dueAt };
    this.owner.later(outcome.delayMs, this.as(message, attempt, deferrals));
    return true;
  }

  /** The same one, when so much time was skipped. */
  sooner(skippedMs: number): PrivateDelivery {
    return this.as(sooner(this.message, skippedMs), this.attempt, this.deferrals);
  }

  private as(message: Message, attempt: number, deferrals: number): PrivateDelivery {
    return new PrivateDelivery(this.inner, this.owner, this.settleInner, message, attempt, deferrals);
  }
}

/** Feeds a runner from a private queue, with retries in the process. */
export class PrivateRetries implements ConsumeEvents {
  /** What waits, by the way to take it back. */
  private readonly waiting = new Map<() => void, PrivateDelivery>();
  private isStopped = false;

  constructor(
    private readonly runner: Runner,
    private readonly onGap?: () => void,
    private readonly group = '',
    private readonly delays: Delays = TIMERS,
  ) {}

  deliver(
    delivery: Delivery,
    settle: Settle = (outcome) => delivery.settle(outcome),
    message: Message = delivery.message,
  ): void {
    const { attempt, deferrals } = delivery;
    this.runner.deliver(new PrivateDelivery(delivery, this, settle, message, attempt, deferrals));
  }

  interrupted(): void {
    this.runner.interrupted();
  }

  gap(): void {
    this.onGap?.();
  }

  later(delayMs: number, delivery: PrivateDelivery): void {
    if (this.isStopped) {
      this.giveUp(delivery);
      return;
    }
    const { group } = this;
    const { attempt, message } = delivery;
    const cancel = this.delays.later({ group, attempt, message }, delayMs, (skippedMs) => {
      this.waiting.delete(cancel);
      this.runner.deliver(skippedMs > 0 ? delivery.sooner(skippedMs) : delivery);
    });
    this.waiting.set(cancel, delivery);
  }

  /** What waits for its next attempt is given up: its queue goes with this process. */
  stop(): void {
    this.isStopped = true;
    for (const [cancel, delivery] of this.waiting) {
      cancel();
      this.giveUp(delivery);
    }
    this.waiting.clear();
  }

  private giveUp(delivery: Delivery): void {
    // the transport owns the outcome; a private message is at most once across a close
    void delivery.settle(RELEASE);
  }
}

/**
 * One private queue for all the shared handlers of an instance: hands each broadcast to every group that asks for it
 * and settles it when all of them have.
 */
export class BroadcastHub implements ConsumeEvents {
  constructor(
    private readonly members: readonly {
      readonly retries: PrivateRetries;
      readonly wants: (message: Message) => boolean;
    }[],
  ) {}

  deliver(delivery: Delivery): void {
    const takers = this.members.filter((member) => member.wants(delivery.message));
    let left = takers.length;
    let worst: Settlement = ACK;
    const settle: Settle = (outcome) => {
      if (outcome.kind === 'dead' || (outcome.kind === 'release' && worst.kind === 'ack')) worst = outcome;
      return --left > 0 ? true : delivery.settle(worst);
    };
    if (left === 0) void delivery.settle(ACK);
    const { message } = delivery;
    // bytes of its own for each group, so that no handler can change what another one sees
    for (const { retries } of takers)
      retries.deliver(delivery, settle, { ...message, body: Uint8Array.from(message.body) });
  }

  stop(): void {
    for (const { retries } of this.members) retries.stop();
  }
}
