import type { Settlement } from '../core/delivery.js';
import { DEFAULTS } from '../core/limits.js';
import { type Linked, LinkedList } from '../core/linked-list.js';

/** One run of a handler. */
export interface Run extends Linked {
  readonly startedAt: number;
  isTimedOut: boolean;
  isFinished: boolean;
}

/**
 * What counts of the outcome of a run that has ended. Of one that took too long only an ack does: its effect has happened, and
 * another run would repeat it.
 */
export function countedOutcome({ isTimedOut }: Run, outcome: Settlement): Settlement | undefined {
  return isTimedOut && outcome.kind !== 'ack' ? undefined : outcome;
}

/**
 * Watches the runs of one group with one timer: they all have the same timeout, so they end in the order in which they
 * began.
 */
export class HandlerTimeouts<R extends Run> {
  private readonly runs = new LinkedList<R>();
  private timer: NodeJS.Timeout | undefined;
  private readonly graceTimers = new Set<NodeJS.Timeout>();

  /**
   * @param onTimeout its time is over; it is told so, and keeps its place until it ends
   * @param onGivenUp its grace is over as well; called also for a run that has ended meanwhile
   */
  constructor(
    private readonly timeoutMs: number,
    private readonly onTimeout: (run: R) => void,
    private readonly onGivenUp: (run: R) => void,
  ) {}

  watch(run: R): void {
    this.runs.add(run);
    if (!this.timer) this.arm(this.timeoutMs);
  }

  /** For a run that has ended by itself. */
  forget(run: R): void {
    if (!run.isTimedOut) this.runs.remove(run);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const timer of this.graceTimers) clearTimeout(timer);
    this.graceTimers.clear();
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
      this.expire(run);
    }
  };

  private expire(run: R): void {
    run.isTimedOut = true;
    this.onTimeout(run);
    const timer = setTimeout(() => {
      this.graceTimers.delete(timer);
      this.onGivenUp(run);
    }, DEFAULTS.handlerGraceMs);
    this.graceTimers.add(timer);
  }
}
