import { withDeadline } from './deadline.js';
import { type Delivery, RELEASE } from './delivery.js';
import { BusClosedError } from './errors.js';
import { type Linked, LinkedList } from './linked-list.js';

/** After the deadline: time for aborted handlers to settle by themselves. */
const ABORT_GRACE_MS = 50;

/** Deliveries that were handed out and not settled yet. */
export class Outstanding<D extends Delivery & Linked> {
  private readonly items = new LinkedList<D>();
  private waiters: (() => void)[] = [];

  get size(): number {
    return this.items.size;
  }

  add(delivery: D): void {
    this.items.add(delivery);
  }

  delete(delivery: D): void {
    this.items.remove(delivery);
    if (this.items.size === 0 && this.waiters.length > 0) this.wake();
  }

  /** They can no longer be settled: the channel is gone. Their signals abort; the broker delivers them again. */
  lose(reason: Error): void {
    const lost = this.items.drain();
    this.wake();
    for (const delivery of lost) delivery.abort(reason);
  }

  /** Waits for all to settle; at the deadline aborts their signals and releases what is left. */
  async drain(deadlineMs: number): Promise<void> {
    if (await this.emptyWithin(deadlineMs)) return;
    const reason = new BusClosedError('go on handling');
    for (const delivery of [...this.items]) delivery.abort(reason);
    if (await this.emptyWithin(ABORT_GRACE_MS)) return;
    for (const delivery of [...this.items]) await delivery.settle(RELEASE);
  }

  private wake(): void {
    for (const wake of this.waiters.splice(0)) wake();
  }

  private emptyWithin(ms: number): Promise<boolean> {
    if (this.items.size === 0) return Promise.resolve(true);
    const empty = new Promise<boolean>((resolve) => this.waiters.push(() => resolve(true)));
    return withDeadline(empty, ms, () => new BusClosedError('wait longer')).catch(() => false);
  }
}
