import { Deque } from '../core/deque.js';
import type { Message } from '../core/message.js';
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
    const size = sizeOf(unrouted.message);
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
    if (oldest) this.keptBytes -= sizeOf(oldest.message);
  }
}

/** What its parts of any length take. */
function sizeOf({ body, topic, headers }: Message): number {
  let bytes = body.byteLength + topic.length;
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    bytes += name.length + (typeof value === 'string' ? value.length : 8);
  }
  return bytes;
}

/** A small body is often a piece of a large buffer, which it would keep. */
function compact(message: Message): Message {
  const { body } = message;
  if (body.byteLength === body.buffer.byteLength) return message;
  return Object.freeze({ ...message, body: new Uint8Array(body) });
}
