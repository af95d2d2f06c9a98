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
    const next = new PrivateDelivery(this.inner, this.owner, this.settleInner, message, attempt, deferrals);
    this.owner.later(outcome.delayMs, next);
    return true;
  }
}

/** Feeds a runner from a private queue, with retries in the process. */
export class PrivateRetries implements ConsumeEvents {
  private readonly timers = new Map<NodeJS.Timeout, Delivery>();
  private isStopped = false;

  constructor(
    private readonly runner: Runner,
    private readonly onGap?: () => void,
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

  later(delayMs: number, delivery: Delivery): void {
    if (this.isStopped) {
      this.giveUp(delivery);
      return;
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.runner.deliver(delivery);
    }, delayMs);
    this.timers.set(timer, delivery);
  }

  /** What waits for its next attempt is given up: its queue goes with this process. */
  stop(): void {
    this.isStopped = true;
    for (const [timer, delivery] of this.timers) {
      clearTimeout(timer);
      this.giveUp(delivery);
    }
    this.timers.clear();
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
