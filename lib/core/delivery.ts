import type { Linked } from './linked-list.js';
import type { Message } from './message.js';

/** The failure that is written down beside a retry or dead-letter copy. Bounded, and never the payload. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

/**
 * The outcome of a delivery, decided by the dispatcher and carried out by the transport.
 * - `ack`: done, never again.
 * - `retry`: again after `delayMs`, as attempt number `attempt`, to this group only.
 * - `dead`: to the group's dead letters.
 * - `release`: given back untouched, no attempt counted; for shutdown, never for a failure.
 */
export type Settlement =
  | {
      readonly kind: 'ack';
      /** Why no handler has done it. Absent: one has. Nothing to a transport. */
      readonly unhandled?: 'expired' | 'duplicate' | 'unmatched' | 'refused';
      /** What a request was answered with instead. Nothing to a transport. */
      readonly failure?: Failure;
    }
  | {
      readonly kind: 'retry';
      readonly delayMs: number;
      readonly attempt: number;
      /** Set while a message is put off: it hops until this time without being handled. */
      readonly dueAt?: number;
      readonly deferrals?: number;
      /** How often nobody understood it by then. Default: as before. */
      readonly misses?: number;
      readonly failure?: Failure;
    }
  | {
      readonly kind: 'dead';
      readonly reason: string;
      /** Default: that of the delivery. */
      readonly attempts?: number;
      readonly failure?: Failure;
    }
  | { readonly kind: 'release' };

export const ACK: Settlement = Object.freeze({ kind: 'ack' });
export const RELEASE: Settlement = Object.freeze({ kind: 'release' });

/** One arrival of a message at one group. */
export interface Delivery {
  readonly message: Message;
  /** 1 on the first delivery to this group; at most `MAX_ATTEMPT`, whatever the wire says. */
  readonly attempt: number;
  readonly redelivered: boolean;
  /** Why the transport could not read all of the message; then no handler gets it. */
  readonly defect?: string | undefined;
  /** How often the message was put off already (`RetryLaterError`, `delayMs`). */
  readonly deferrals: number;
  /** How often an instance got it that has no handler for it; those tries are no attempts. Default 0. */
  readonly misses?: number;
  /** Aborted when the delivery is lost, its handler ran too long, or the close deadline has passed. */
  readonly signal: AbortSignal;
  /** The same as `signal.aborted`, without making a signal. */
  readonly aborted: boolean;
  abort(reason: unknown): void;
  /**
   * The first call wins. Gives `false` when it came too late (settled before, or the channel is gone): then nothing was
   * sent and the message comes again. At once where nothing has to be confirmed first; never rejects.
   */
  settle(outcome: Settlement): boolean | Promise<boolean>;
}

/** An AbortController made only when somebody looks: most handlers never do. Can stand in the list of a consumer. */
export class LazySignal implements Linked {
  previous: this | undefined;
  next: this | undefined;
  private controller: AbortController | undefined;
  private reason: unknown;
  private isAborted = false;

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.isAborted) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  get aborted(): boolean {
    return this.isAborted;
  }

  abort(reason: unknown): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.reason = reason;
    this.controller?.abort(reason);
  }
}
