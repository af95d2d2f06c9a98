import type { Message } from './message.js';

/** A delivery that waits for its time in this process. */
export interface Waiting {
  readonly group: string;
  /** The number of the attempt that comes then. */
  readonly attempt: number;
  readonly message: Message;
}

/** Keeps what waits in this process: retries of the transport in memory and of private handlers. */
export interface Delays {
  /**
   * Calls `run` when the time has come, never before this has returned, and once at most.
   *
   * @param run told how much of the time was skipped; 0 unless somebody moves the time
   * @returns the way to take it back
   */
  later(what: Waiting, delayMs: number, run: (skippedMs: number) => void): () => void;
}

/** Each one by a timer of its own. */
export const TIMERS: Delays = Object.freeze({
  later(_what: Waiting, delayMs: number, run: (skippedMs: number) => void): () => void {
    const timer = setTimeout(run, delayMs, 0);
    return () => clearTimeout(timer);
  },
});

/** The same message when so much time was skipped: it is due earlier by that, and expires earlier. */
export function sooner(message: Message, skippedMs: number): Message {
  const { dueAt, expiresAt } = message;
  if (skippedMs === 0 || (dueAt === undefined && expiresAt === undefined)) return message;
  return Object.freeze({
    ...message,
    ...(dueAt !== undefined && { dueAt: dueAt - skippedMs }),
    ...(expiresAt !== undefined && { expiresAt: expiresAt - skippedMs }),
  });
}
