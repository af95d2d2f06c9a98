import { withDeadline } from '../core/deadline.js';
import { EventBusError, RendezvousTimeoutError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { Member } from './member.js';
import { describeMissing, type Requirements } from './requirements.js';

interface Waiter {
  readonly requirements: Requirements;
  readonly resolve: (members: readonly Member[]) => void;
}

export interface WaitTime {
  /** As it was asked for, for the error. */
  readonly timeoutMs: number;
  /** By `performance.now()`: clocks are set while somebody waits. */
  readonly until: number;
  readonly signal: AbortSignal;
}

/** Who waits for others. */
export class Waiters {
  private readonly all = new Set<Waiter>();

  constructor(
    private readonly members: () => readonly Member[],
    /** Whether this instance is ready itself. */
    private readonly isReady: () => boolean,
    /** Asks the others who is ready. */
    private readonly ask: () => Promise<void>,
  ) {}

  /**
   * Resolves with those who count, when there are enough.
   *
   * @param requirements that know all members
   * @throws RendezvousTimeoutError, the reason of the signal, TopologyConflictError
   */
  async meet(requirements: Requirements, { timeoutMs, until, signal }: WaitTime): Promise<readonly Member[]> {
    if (requirements.areMet) return requirements.pick(this.members());
    const leftMs = Math.max(1, until - performance.now());
    let trouble: unknown;
    let waiter: Waiter | undefined;
    const met = new Promise<readonly Member[]>((resolve, reject) => {
      waiter = { requirements, resolve };
      this.all.add(waiter);
      this.ask().catch((error: unknown) => {
        // they may come without being asked
        if (error instanceof EventBusError && error.retryable) trouble = error;
        else reject(error);
      });
    });
    try {
      return await withDeadline(met, leftMs, () => this.late(requirements, timeoutMs, trouble), signal);
    } finally {
      if (waiter) this.all.delete(waiter);
    }
  }

  change(before: Member | undefined, after: Member | undefined): void {
    for (const { requirements, resolve } of this.all) {
      requirements.change(before, after);
      if (requirements.areMet) resolve(requirements.pick(this.members()));
    }
  }

  /** @param cause why nobody could be asked */
  late(requirements: Requirements, timeoutMs: number, cause: unknown): RendezvousTimeoutError {
    const { missing } = requirements;
    const silent = this.isReady() ? '' : ' This instance has not announced itself.';
    const reason = cause === undefined ? '' : ` The others could not be asked: ${describeError(cause)}`;
    return new RendezvousTimeoutError(
      `Not everybody was ready within ${timeoutMs} ms, ${describeMissing(missing, this.members())}${silent}${reason}`,
      missing,
      cause === undefined ? {} : { cause },
    );
  }
}
