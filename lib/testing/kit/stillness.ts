import { performance as realClock } from 'node:perf_hooks';
import { clearTimeout as clearRealTimeout, setTimeout as realTimeout } from 'node:timers';
import { setImmediate as turn } from 'node:timers/promises';
import { BusClosedError, EventBusError } from '../../core/errors.js';

/** How long a test waits for what must come, when it does not say. */
export const WAIT_MS = 4_000;
/** What comes to nothing before the transport has it tells nobody; it is looked for again after so long. */
const LOOK_MS = 10;
/** The timers of Node take no more. */
const MAX_MS = 2 ** 31 - 1;

/**
 * Waits by real time, whatever a test has put in place of the timers.
 *
 * @param ms more than 24 days, as Infinity, are 24 days
 * @param begin starts what later calls `resolve` or `reject`; gives the way to stop it, which is called in any case
 */
export function within<T>(
  ms: number,
  signals: readonly (AbortSignal | undefined)[],
  late: () => Error,
  begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
): Promise<T> {
  const all = AbortSignal.any(signals.filter((signal) => signal !== undefined));
  return new Promise<T>((resolve, reject) => {
    const end = (): void => {
      clearRealTimeout(timer);
      all.removeEventListener('abort', onAbort);
      stop();
    };
    const fail = (error: unknown): void => {
      end();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const onAbort = (): void => fail(all.reason);
    const timer = realTimeout(() => fail(late()), Math.min(ms, MAX_MS));
    const stop = begin((value) => {
      end();
      resolve(value);
    }, fail);
    if (all.aborted) onAbort();
    else all.addEventListener('abort', onAbort, { once: true });
  });
}

/** Knows when nothing moves any more: is told of what changes, and looks then. */
export class Stillness {
  private readonly end = new AbortController();
  private changes = 0;
  private readonly waiting = new Set<() => void>();

  /** @param movements what is under way, in words; empty when nothing is */
  constructor(private readonly movements: () => readonly string[]) {}

  /** Aborted when the test is over. */
  get ended(): AbortSignal {
    return this.end.signal;
  }

  readonly changed = (): void => {
    this.changes++;
    for (const wake of this.waiting) wake();
  };

  /** @throws EventBusError (`NOT_SETTLED`) that says what still moves; BusClosedError */
  async reached(timeoutMs: number): Promise<void> {
    const endAt = realClock.now() + timeoutMs;
    for (;;) {
      // what was begun by the last change shows within a turn
      await turn();
      const before = this.changes;
      if (this.movements().length === 0) {
        await turn();
        if (before === this.changes && this.movements().length === 0) return;
      } else await this.change(endAt - realClock.now(), timeoutMs);
    }
  }

  close(): void {
    this.end.abort(new BusClosedError('wait'));
  }

  private change(leftMs: number, timeoutMs: number): Promise<void> {
    const late = (): Error =>
      new EventBusError(
        'NOT_SETTLED',
        `Not settled within ${timeoutMs} ms: ${this.movements().join('; ')}. A handler that takes longer needs a larger timeoutMs; faked timers must leave setImmediate as it is.`,
      );
    return within<void>(Math.max(0, leftMs), [this.ended], late, (resolve) => {
      const wake = (): void => resolve();
      const look = realTimeout(wake, LOOK_MS);
      this.waiting.add(wake);
      return () => {
        clearRealTimeout(look);
        this.waiting.delete(wake);
      };
    });
  }
}
