import type { Delays, Waiting } from '../../core/delays.js';

/** A delivery that waits for a later time: a retry, or a message that is put off. */
export interface PendingDelivery {
  readonly topic: string;
  readonly group: string;
  /** The number of the attempt that comes then. */
  readonly attempt: number;
  readonly dueInMs: number;
}

interface Held {
  readonly bus: string;
  readonly what: Waiting;
  /** By this clock. */
  readonly at: number;
  /** By the clock of the process. */
  readonly dueAt: number;
  readonly run: (skippedMs: number) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Holds what waits for its time on all buses of a test, so that a test can move the time. What is not moved comes by itself, by
 * an ordinary timer.
 */
export class HeldDelays {
  private readonly held = new Set<Held>();
  private aheadMs = 0;
  /** While a test moves the time, it does not go on by itself: the sum of the steps is exact. */
  private stoppedAt: number | undefined;

  constructor(private readonly onChange: () => void) {}

  /** What one bus is given. */
  of(bus: string): Delays {
    return { later: (what, delayMs, run) => this.later(bus, what, delayMs, run) };
  }

  get now(): number {
    return this.stoppedAt ?? Date.now() + this.aheadMs;
  }

  /** When the next one is due, if there is one. */
  get nextAt(): number | undefined {
    let next: number | undefined;
    for (const { at } of this.held) if (next === undefined || at < next) next = at;
    return next;
  }

  /** What waits on a bus, the next one first. */
  pending(bus: string): readonly PendingDelivery[] {
    const { now } = this;
    return this.sorted((one) => one.bus === bus).map(({ what: { group, attempt, message }, at }) => ({
      topic: message.topic,
      group,
      attempt,
      dueInMs: Math.max(0, at - now),
    }));
  }

  stop(): void {
    this.stoppedAt ??= this.now;
  }

  /** Lets what is due by then go, in order. Only while stopped. */
  moveTo(at: number): void {
    this.stoppedAt = Math.max(at, this.now);
    for (const one of this.sorted(({ at: due }) => due <= at)) {
      if (!this.held.has(one)) continue; // taken back by one before it
      this.forget(one);
      one.run(Math.max(0, one.dueAt - Date.now()));
    }
    this.onChange();
  }

  go(): void {
    if (this.stoppedAt === undefined) return;
    this.aheadMs = Math.max(0, this.stoppedAt - Date.now());
    this.stoppedAt = undefined;
  }

  private later(bus: string, what: Waiting, delayMs: number, run: (skippedMs: number) => void): () => void {
    const timer = setTimeout(() => {
      this.held.delete(one);
      run(0);
      this.onChange();
    }, delayMs);
    const one: Held = { bus, what, at: this.now + delayMs, dueAt: Date.now() + delayMs, run, timer };
    this.held.add(one);
    return () => this.forget(one);
  }

  private forget(one: Held): void {
    clearTimeout(one.timer);
    this.held.delete(one);
  }

  private sorted(isMeant: (one: Held) => boolean): readonly Held[] {
    return [...this.held].filter(isMeant).toSorted((a, b) => a.at - b.at);
  }
}
