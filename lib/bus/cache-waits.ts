import { CacheOverflowError } from '../core/errors.js';
import type { CacheSearch } from './cache-search.js';
import { type EntryQueue, KeptEntry } from './entry-queue.js';
import type { CacheEntry } from './subscription-cache.js';

/** What a reader asks for. */
export interface WaitRequest<T, R> {
  readonly search: CacheSearch<T>;
  /** Whether what is found is taken out. */
  readonly takes: boolean;
  /** Whether all that came before it is taken out as well. */
  readonly consume?: boolean | undefined;
  /** Absent: for as long as it takes. */
  readonly timeoutMs: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of what has been found. Called once, when the search is complete. */
  result(): R;
  /** When the time is over. Gives the result all the same, or throws. */
  timedOut(): R;
}

/** A request that waits. */
class Wait<T> {
  /** What is set aside for it. */
  readonly found: KeptEntry<T>[] = [];
  isSettled = false;
  private timer: NodeJS.Timeout | undefined;
  private onAbort: (() => void) | undefined;

  constructor(
    readonly request: WaitRequest<T, unknown>,
    readonly resolve: (result: unknown) => void,
    readonly reject: (error: unknown) => void,
  ) {}

  arm(timedOut: () => void, aborted: () => void): void {
    const { timeoutMs, signal } = this.request;
    if (timeoutMs !== undefined) this.timer = setTimeout(timedOut, timeoutMs);
    if (!signal) return;
    this.onAbort = aborted;
    signal.addEventListener('abort', aborted, { once: true });
  }

  disarm(): void {
    this.isSettled = true;
    clearTimeout(this.timer);
    if (this.onAbort) this.request.signal?.removeEventListener('abort', this.onAbort);
  }
}

/**
 * Brings entries and those who wait for them together. Each entry that arrives is shown to the waits, the one that began first before
 * the others, and each wait is shown each entry once; what comes back from a wait that ends without it is shown again, with all
 * that came after it.
 */
export class CacheWaits<T> {
  private readonly pending = new Set<Wait<T>>();
  /** Waits whose predicates have thrown; they are settled when no entry is on its way. */
  private readonly broken: { readonly wait: Wait<T>; readonly error: unknown }[] = [];
  private arrivals = 0;
  private reason: Error | undefined;

  constructor(
    /** Of what it is a cache, for its errors. */
    private readonly name: string,
    private readonly queue: EntryQueue<T>,
    private readonly onOverflow: () => void,
  ) {}

  /** Why nothing is taken in any more. */
  get ended(): Error | undefined {
    return this.reason;
  }

  /** @returns false when it was not taken in, because the intake has ended */
  add(entry: CacheEntry<T>): boolean {
    if (this.reason) return false;
    const kept = new KeptEntry(entry, this.arrivals++);
    const isIn = this.isTaken(kept) || this.queue.add(kept);
    if (!isIn) this.overflow();
    this.settleBroken();
    return isIn;
  }

  wait<R>(request: WaitRequest<T, R>): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const wait = new Wait<T>(request, resolve as (result: unknown) => void, reject);
      const { search, signal, timeoutMs } = request;
      if (signal?.aborted) return reject(signal.reason);
      if (search.isComplete) return resolve(request.result());
      this.show(wait, this.queue.head);
      if (!wait.isSettled) {
        if (this.reason) this.giveUp(wait, this.reason);
        else if (timeoutMs === 0) this.timeOut(wait);
        else this.enlist(wait);
      }
      this.settleBroken();
    });
  }

  /** Takes nothing more in and ends all waits. What is kept stays. The first reason counts. */
  end(reason: Error): void {
    if (this.reason) return;
    this.reason = reason;
    const waits = [...this.pending];
    for (const wait of waits) this.settle(wait);
    this.queue.restore(inOrder(waits.flatMap(({ found }) => found)));
    this.queue.trim();
    for (const { reject } of waits) reject(reason);
  }

  private enlist(wait: Wait<T>): void {
    this.pending.add(wait);
    wait.arm(
      () => {
        this.timeOut(wait);
        this.settleBroken();
      },
      () => {
        this.giveUp(wait, wait.request.signal?.reason);
        this.settleBroken();
      },
    );
  }

  private isTaken(kept: KeptEntry<T>): boolean {
    // a Set may lose and get members while it is walked through: predicates can begin and end waits
    for (const wait of this.pending) if (this.ask(wait, kept)) return true;
    return false;
  }

  private show(wait: Wait<T>, first: KeptEntry<T> | undefined): void {
    for (let kept = first; kept && !wait.isSettled; ) {
      const { next, order } = kept;
      this.ask(wait, kept);
      kept = next === undefined || next.isQueued ? next : this.queue.after(order);
    }
  }

  /** @returns whether it has taken the entry */
  private ask(wait: Wait<T>, kept: KeptEntry<T>): boolean {
    const { search, takes } = wait.request;
    try {
      // a predicate may end its own wait
      if (!search.wants(kept) || wait.isSettled) return false;
    } catch (error) {
      this.settle(wait);
      this.broken.push({ wait, error });
      return false;
    }
    if (takes) {
      if (kept.isQueued) this.queue.remove(kept);
      wait.found.push(kept);
    }
    if (search.isComplete) this.complete(wait);
    return takes;
  }

  private complete(wait: Wait<T>): void {
    this.settle(wait);
    this.discardBefore(wait);
    wait.resolve(wait.request.result());
  }

  private timeOut(wait: Wait<T>): void {
    this.settle(wait);
    try {
      wait.resolve(wait.request.timedOut());
    } catch (error) {
      wait.reject(error);
    }
    if (wait.request.consume) this.discardBefore(wait);
    else this.giveBack(wait);
  }

  private giveUp(wait: Wait<T>, error: unknown): void {
    this.settle(wait);
    wait.reject(error);
    this.giveBack(wait);
  }

  private discardBefore({ request, found }: Wait<T>): void {
    if (!request.consume) return;
    let last = -1;
    for (const { order } of found) last = Math.max(last, order);
    this.queue.discardThrough(last);
  }

  private giveBack({ found }: Wait<T>): void {
    const entries = inOrder(found);
    const [first] = entries;
    if (!first) return;
    this.queue.restore(entries);
    for (const wait of this.pending) this.show(wait, first.isQueued ? first : this.queue.after(first.order));
    if (!this.queue.trim() && !this.reason) this.overflow();
  }

  private settle(wait: Wait<T>): void {
    wait.disarm();
    this.pending.delete(wait);
  }

  private settleBroken(): void {
    for (let one = this.broken.shift(); one; one = this.broken.shift()) this.giveUp(one.wait, one.error);
  }

  private overflow(): void {
    const { capacity, capacityBytes } = this.queue.limits;
    this.end(new CacheOverflowError(this.name, capacity, capacityBytes));
    this.onOverflow();
  }
}

function inOrder<T>(entries: readonly KeptEntry<T>[]): readonly KeptEntry<T>[] {
  return entries.toSorted((a, b) => a.order - b.order);
}
