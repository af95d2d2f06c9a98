import { Deque } from '../core/deque.js';
import { bytesOf, compact } from './kept-message.js';
import type { Unrouted } from './unroutable-message.js';

export interface UnroutableStoreOptions {
  readonly messages: number;
  readonly bytes: number;
}

/** Events that no group got, until somebody fetches them: the latest ones, bounded by number and bytes. */
export class UnroutableStore {
  private readonly kept = new Deque<Unrouted>();
  private keptBytes = 0;

  constructor(private readonly limits: UnroutableStoreOptions) {}

  get size(): number {
    return this.kept.size;
  }

  get bytes(): number {
    return this.keptBytes;
  }

  /** Keeps it. @returns how many were dropped for it, the oldest; itself, when it is larger than all the room */
  add(unrouted: Unrouted): number {
    const { messages, bytes } = this.limits;
    const size = bytesOf(unrouted.message);
    if (size > bytes) return 1;
    this.kept.push({ ...unrouted, message: compact(unrouted.message) });
    this.keptBytes += size;
    let dropped = 0;
    while (this.kept.size > messages || this.keptBytes > bytes) {
      this.shift();
      dropped++;
    }
    return dropped;
  }

  /** Gives all, the oldest first, and forgets them. */
  take(): readonly Unrouted[] {
    this.keptBytes = 0;
    return this.kept.drain();
  }

  private shift(): void {
    const oldest = this.kept.shift();
    if (oldest) this.keptBytes -= bytesOf(oldest.message);
  }
}
