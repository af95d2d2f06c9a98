/** Who waits for a free place. */
export interface Waiter {
  /** A place may be free now. */
  pump(): void;
}

/** Places that several groups share: how many handlers run in the process at one time. */
export class SharedPlaces {
  private free: number;
  private readonly waiters = new Set<Waiter>();

  constructor(limit: number) {
    this.free = limit;
  }

  tryTake(waiter: Waiter): boolean {
    if (this.free > 0) {
      this.free--;
      return true;
    }
    this.waiters.add(waiter);
    return false;
  }

  /** Gives a place back; those who wait are asked in turn, the one waiting longest first. */
  give(): void {
    this.free++;
    for (const waiter of this.waiters) {
      if (this.free === 0) return;
      this.waiters.delete(waiter);
      waiter.pump();
    }
  }
}
