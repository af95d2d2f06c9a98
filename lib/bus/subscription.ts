import type { Consumer } from '../core/transport.js';

/** What `subscribe` gives back. */
export interface Subscription {
  readonly id: string;
  readonly pattern: string | readonly string[];
  readonly group: string | undefined;
  readonly createdAt: Date;
  readonly state: 'active' | 'paused' | 'recovering' | 'cancelled';
  /** No new deliveries; with a group they wait in its queue, without one they wait while the process lives. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Waits for running handlers. A private queue is gone with it, a group's queue stays. Idempotent. */
  cancel(): Promise<void>;
}

export class BusSubscription implements Subscription {
  readonly createdAt = new Date();
  private cancelling: Promise<void> | undefined;

  constructor(
    readonly id: string,
    readonly pattern: string | readonly string[],
    readonly group: string | undefined,
    private readonly consumers: readonly Consumer[],
    private readonly onCancel: () => Promise<void>,
  ) {}

  get state(): Subscription['state'] {
    if (this.cancelling) return 'cancelled';
    const state = this.consumers[0]?.state ?? 'closed';
    if (state === 'running') return 'active';
    return state === 'closed' ? 'cancelled' : state;
  }

  async pause(): Promise<void> {
    await Promise.all(this.consumers.map((consumer) => consumer.pause()));
  }

  async resume(): Promise<void> {
    await Promise.all(this.consumers.map((consumer) => consumer.resume()));
  }

  cancel(): Promise<void> {
    this.cancelling ??= this.onCancel();
    return this.cancelling;
  }
}
