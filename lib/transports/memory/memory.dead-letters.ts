import { setImmediate as turn } from 'node:timers/promises';
import { noQueueToReplayTo, toReplayed } from '../../core/dead-letters.js';
import { BusClosedError } from '../../core/errors.js';
import type { DeadLetterQuery, DeadLetterRecord, DeadLetters } from '../../core/transport.js';
import { copyOf } from './memory.message.js';
import type { MemoryQueue } from './memory.queue.js';

/** Replayed in one turn of the event loop. */
const PER_TURN = 500;

/** The dead letters of every group, in the order in which they died. No reader has to wait for another. */
export class MemoryDeadLetters implements DeadLetters {
  private readonly groups = new Map<string, Set<DeadLetterRecord>>();
  private isClosed = false;

  /** @param queueOf the queue of a group, if it has one */
  constructor(private readonly queueOf: (group: string) => MemoryQueue | undefined) {}

  bury(group: string, letter: DeadLetterRecord): void {
    const letters = this.groups.get(group);
    if (letters) letters.add(letter);
    else this.groups.set(group, new Set([letter]));
  }

  /** Makes those of one group those of another. */
  move(from: string, to: string): void {
    for (const letter of this.groups.get(from) ?? []) this.bury(to, letter);
    this.groups.delete(from);
  }

  /** Copies: what is done to them changes nothing here. */
  async list(group: string, limit: number, offset = 0): Promise<readonly DeadLetterRecord[]> {
    const page = this.choose(group, {}).slice(offset, offset + limit);
    return page.map((letter) => ({ ...letter, message: copyOf(letter.message) }));
  }

  async count(group: string): Promise<number> {
    return this.groups.get(group)?.size ?? 0;
  }

  async replay(group: string, query: DeadLetterQuery): Promise<number> {
    const { onProgress, signal } = query;
    const chosen = this.choose(group, query);
    let replayed = 0;
    for (const [index, letter] of chosen.entries()) {
      if (index > 0 && index % PER_TURN === 0) await turn();
      if (signal?.aborted) break;
      if (this.isClosed) throw new BusClosedError('replay dead letters');
      const queue = this.queueOf(group);
      if (!queue) throw noQueueToReplayTo(group);
      if (!this.groups.get(group)?.delete(letter)) continue; // somebody else has replayed or purged it meanwhile
      queue.push(toReplayed(letter.message));
      replayed++;
      onProgress?.(replayed, chosen.length);
    }
    return replayed;
  }

  async purge(group: string): Promise<number> {
    const count = this.groups.get(group)?.size ?? 0;
    this.groups.delete(group);
    return count;
  }

  /** The queues take nothing more, so that nothing can be replayed. */
  close(): void {
    this.isClosed = true;
  }

  private choose(group: string, { ids, limit }: DeadLetterQuery): readonly DeadLetterRecord[] {
    const wanted = ids && new Set(ids);
    const letters = [...(this.groups.get(group) ?? [])];
    return letters.filter(({ message }) => wanted?.has(message.id) ?? true).slice(0, limit);
  }
}
