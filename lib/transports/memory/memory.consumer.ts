import { type Delivery, LazySignal, type Settlement } from '../../core/delivery.js';
import { DEFAULTS } from '../../core/limits.js';
import type { Message } from '../../core/message.js';
import { Outstanding } from '../../core/outstanding.js';
import type { ConsumeEvents, Consumer } from '../../core/transport.js';
import type { Entry, MemoryQueue } from './memory.queue.js';

class MemoryDelivery extends LazySignal implements Delivery {
  private isSettled = false;

  constructor(
    private readonly entry: Entry,
    private readonly queue: MemoryQueue,
    private readonly outstanding: Outstanding<MemoryDelivery>,
  ) {
    super();
  }

  get message(): Message {
    return this.entry.message;
  }

  get attempt(): number {
    return this.entry.attempt;
  }

  get redelivered(): boolean {
    return this.entry.redelivered;
  }

  get deferrals(): number {
    return this.entry.deferrals;
  }

  get misses(): number {
    return this.entry.misses;
  }

  settle(outcome: Settlement): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.outstanding.delete(this);
    this.queue.settled(this.entry, outcome);
    return true;
  }
}

/** One member of a group. */
export class MemoryConsumer implements Consumer {
  private readonly outstanding = new Outstanding<MemoryDelivery>();
  private current: Consumer['state'] = 'running';
  private closing: Promise<void> | undefined;

  constructor(
    private readonly queue: MemoryQueue,
    private readonly prefetch: number,
    private readonly events: ConsumeEvents,
    private readonly onClosed: (consumer: MemoryConsumer) => void,
  ) {
    queue.join(this);
  }

  get state(): Consumer['state'] {
    return this.current;
  }

  get isFree(): boolean {
    return this.outstanding.size < this.prefetch;
  }

  take(entry: Entry): void {
    const delivery = new MemoryDelivery(entry, this.queue, this.outstanding);
    this.outstanding.add(delivery);
    this.events.deliver(delivery);
  }

  async pause(): Promise<void> {
    if (this.current !== 'running') return;
    this.current = 'paused';
    this.queue.leave(this);
  }

  async resume(): Promise<void> {
    if (this.current !== 'paused') return;
    this.current = 'running';
    this.queue.join(this);
  }

  close({ deadlineMs = DEFAULTS.shutdownDeadlineMs }: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.closing ??= this.stop(deadlineMs);
    return this.closing;
  }

  private async stop(deadlineMs: number): Promise<void> {
    this.current = 'closed';
    this.queue.leave(this);
    await this.outstanding.drain(deadlineMs);
    this.onClosed(this);
  }
}
