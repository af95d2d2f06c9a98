import { type Linked, LinkedList } from '../core/linked-list.js';
import { bytesOf } from './kept-message.js';
import { comparable } from './payload-match.js';
import type { CacheEntry, CacheLimits } from './subscription-cache.js';

/** An entry with its place in the order of arrival. */
export class KeptEntry<T> implements Linked {
  previous: this | undefined;
  next: this | undefined;
  /** Whether it is in the queue: not taken out, and not set aside for a wait. */
  isQueued = false;
  readonly bytes: number;
  private compared: { readonly payload: unknown } | undefined;

  constructor(
    readonly entry: CacheEntry<T>,
    readonly order: number,
  ) {
    this.bytes = bytesOf(entry.message);
  }

  /** Its payload as it is compared with targets; made once, however many ask. */
  get comparable(): unknown {
    this.compared ??= { payload: comparable(this.entry.payload) };
    return this.compared.payload;
  }
}

/** Entries in the order of their arrival, bounded by number and bytes. */
export class EntryQueue<T> {
  private readonly list = new LinkedList<KeptEntry<T>>();
  private bytes = 0;
  private lost = 0;

  constructor(readonly limits: Required<CacheLimits>) {}

  get size(): number {
    return this.list.size;
  }

  /** How many found no room. */
  get dropped(): number {
    return this.lost;
  }

  get head(): KeptEntry<T> | undefined {
    return this.list.head;
  }

  /** The first one that came after `order`. */
  after(order: number): KeptEntry<T> | undefined {
    let kept = this.list.head;
    while (kept && kept.order <= order) kept = kept.next;
    return kept;
  }

  /** Keeps the latest one, as the overflow rule says. @returns false when the rule is `error`, and there is no room */
  add(kept: KeptEntry<T>): boolean {
    const { capacity, capacityBytes, overflow } = this.limits;
    if (overflow === 'drop-oldest' && kept.bytes <= capacityBytes) {
      this.put(kept, undefined);
      return this.trim();
    }
    if (this.list.size < capacity && this.bytes + kept.bytes <= capacityBytes) {
      this.put(kept, undefined);
      return true;
    }
    this.lost++;
    return overflow !== 'error';
  }

  /** Puts entries, in their order, back into their places; more than there is room for, until `trim`. */
  restore(entries: readonly KeptEntry<T>[]): void {
    let next = this.list.head;
    for (const kept of entries) {
      while (next && next.order < kept.order) next = next.next;
      this.put(kept, next);
    }
  }

  /** Drops what there is no room for. @returns false when the rule is `error`, and something was dropped */
  trim(): boolean {
    const { capacity, capacityBytes, overflow } = this.limits;
    let isWhole = true;
    while (this.list.size > capacity || this.bytes > capacityBytes) {
      const kept = overflow === 'drop-oldest' ? this.list.head : this.list.tail;
      if (!kept) break;
      this.remove(kept);
      this.lost++;
      isWhole = false;
    }
    return isWhole || overflow !== 'error';
  }

  /** Must be in the queue. */
  remove(kept: KeptEntry<T>): void {
    this.list.remove(kept);
    this.bytes -= kept.bytes;
    kept.isQueued = false;
  }

  /** Takes out all that came up to `order`. */
  discardThrough(order: number): void {
    for (let kept = this.list.head; kept && kept.order <= order; kept = this.list.head) this.remove(kept);
  }

  private put(kept: KeptEntry<T>, next: KeptEntry<T> | undefined): void {
    if (next) this.list.addBefore(next, kept);
    else this.list.add(kept);
    this.bytes += kept.bytes;
    kept.isQueued = true;
  }
}
