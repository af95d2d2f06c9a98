import type { Delivery } from '../core/delivery.js';
import { type Linked, LinkedList } from '../core/linked-list.js';

/** One run of a handler. */
export interface Run extends Linked {
  readonly delivery: Delivery;
  readonly startedAt: number;
  isTimedOut: boolean;
  isFinished: boolean;
}

/**
 * Watches the runs of one group with one timer: they all have the same timeout, so they end in the order in which they
 * began.
 */
export class HandlerTimeouts {
  private readonly runs = new LinkedList<Run>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly timeoutMs: number,
    private readonly onTimeout: (run: Run) => void,
  ) {}

  watch(run: Run): void {
    this.runs.add(run);
    if (!this.timer) this.arm(this.timeoutMs);
  }

  /** For a run that has ended by itself. */
  forget(run: Run): void {
    this.runs.remove(run);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(ms: number): void {
    // nothing to keep a process alive for: the work that it watches does that
    this.timer = setTimeout(this.check, ms).unref();
  }

  private readonly check = (): void => {
    this.timer = undefined;
    const now = Date.now();
    for (let run = this.runs.head; run; run = this.runs.head) {
      const left = run.startedAt + this.timeoutMs - now;
      if (left > 0) {
        this.arm(left);
        return;
      }
      this.runs.remove(run);
      this.onTimeout(run);
    }
  };
}
