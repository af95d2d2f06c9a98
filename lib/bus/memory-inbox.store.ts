import { ConfigurationError } from '../core/errors.js';
import type { InboxStore } from '../core/inbox.js';
import { DEFAULTS } from '../core/limits.js';
import { type Linked, LinkedList } from '../core/linked-list.js';

export interface MemoryInboxStoreOptions {
  /**
   * Handled messages that are remembered, all groups together; beyond that, those are forgotten whose window would end first.
   * Default 100 000, about 20 MB. At least the messages that come in one window, if every duplicate is to be recognized.
   */
  readonly maxEntries?: number;
  /** The time in milliseconds, for tests. Default: a clock that nobody can set back. */
  readonly now?: () => number;
}

/**
 * Remembers in the memory of one process. What it cannot do: recognize a duplicate that reaches another process, or that comes
 * after a restart. For that a store is needed that all instances share. It has no timer; what has expired makes room for what
 * comes.
 *
 * @example EventBusModule.forRoot({ inbox: new MemoryInboxStore({ maxEntries: 1_000_000 }) })
 * @publicApi
 */
export class MemoryInboxStore implements InboxStore {
  private readonly maxEntries: number;
  private readonly now: () => number;
  private readonly groups = new Map<string, { readonly claims: Register; readonly handled: Register }>();

  /** @throws ConfigurationError for a `maxEntries` that is not a whole number of at least 1 */
  constructor({ maxEntries = DEFAULTS.inboxEntries, now = () => performance.now() }: MemoryInboxStoreOptions = {}) {
    if (!Number.isSafeInteger(maxEntries) || maxEntries < 1) {
      throw new ConfigurationError('MemoryInboxStore: maxEntries must be a whole number of at least 1.');
    }
    this.maxEntries = maxEntries;
    this.now = now;
  }

  /** Handled messages that it holds now, all groups together. */
  get size(): number {
    return [...this.groups.values()].reduce((sum, { handled }) => sum + handled.size, 0);
  }

  async claim(group: string, messageId: string, leaseMs: number, owner: string): Promise<'new' | 'done' | 'busy'> {
    const { claims, handled } = this.of(group);
    const now = this.now();
    if (handled.find(messageId, now)) return 'done';
    if (claims.find(messageId, now)) return 'busy';
    claims.put(messageId, owner, now + leaseMs);
    return 'new';
  }

  async done(group: string, messageId: string, windowMs: number): Promise<void> {
    const { claims, handled } = this.of(group);
    claims.remove(messageId);
    handled.remove(messageId);
    const now = this.now();
    this.makeRoom(now);
    handled.put(messageId, '', now + windowMs); // nobody's any more
  }

  async forget(group: string, messageId: string, owner: string): Promise<void> {
    const { claims } = this.of(group);
    if (claims.find(messageId, this.now())?.owner === owner) claims.remove(messageId);
  }

  private of(group: string): { readonly claims: Register; readonly handled: Register } {
    let own = this.groups.get(group);
    if (!own) {
      own = { claims: new Register(), handled: new Register() };
      this.groups.set(group, own);
    }
    return own;
  }

  /** Claims are not counted: there are no more of them than handlers run, and without them two would run at one time. */
  private makeRoom(now: number): void {
    if (this.size < this.maxEntries) return;
    const all = [...this.groups.values()].map(({ handled }) => handled);
    for (const handled of all) handled.expire(now);
    while (this.size >= this.maxEntries) {
      const [first] = all.flatMap((handled) => handled.oldest ?? []).toSorted((a, b) => a.until - b.until);
      if (!first) return;
      for (const handled of all) if (handled.oldest === first) handled.remove(first.id);
    }
  }
}

interface Entry extends Linked {
  readonly id: string;
  readonly owner: string;
  /** The last moment at which it counts. */
  readonly until: number;
}

/** Entries of one group, in the order in which they came: as they all live for the same time, that in which they expire. */
class Register {
  private readonly entries = new Map<string, Entry>();
  // not the order of the map: to look for its first entry, V8 goes over all that were deleted before it
  private readonly order = new LinkedList<Entry>();

  get size(): number {
    return this.order.size;
  }

  get oldest(): Entry | undefined {
    return this.order.head;
  }

  find(id: string, now: number): Entry | undefined {
    this.expire(now);
    const entry = this.entries.get(id);
    return entry && entry.until >= now ? entry : undefined;
  }

  put(id: string, owner: string, until: number): void {
    this.remove(id);
    const entry: Entry = { id, owner, until, previous: undefined, next: undefined };
    this.entries.set(id, entry);
    this.order.add(entry);
  }

  remove(id: string): void {
    const entry = this.entries.get(id);
    if (!entry) return;
    this.entries.delete(id);
    this.order.remove(entry);
  }

  expire(now: number): void {
    for (let entry = this.order.head; entry && entry.until < now; entry = this.order.head) this.remove(entry.id);
  }
}
