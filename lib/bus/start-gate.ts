import { setMaxListeners } from 'node:events';
import { abortable, pause } from '../core/deadline.js';
import { BusClosedError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';

/** Resolves when consumers may start, rejects when they must not; ends soon after the signal is aborted. */
export type OpenGate = (signal: AbortSignal) => Promise<void>;

/** What must open before anything is consumed. Closing the bus ends the wait, whatever the other side does. */
export class StartGate {
  private readonly end = new AbortController();
  private waiting = 0;

  constructor(
    private readonly open: OpenGate,
    private readonly logger: BusLogger,
  ) {
    setMaxListeners(0, this.end.signal); // policies that wait at one time all listen to it
  }

  get isWaiting(): boolean {
    return this.waiting > 0;
  }

  /** @throws BusClosedError when the bus closes; whatever the gate does not open for */
  async pass(): Promise<void> {
    const { signal } = this.end;
    signal.throwIfAborted();
    this.waiting++;
    try {
      await abortable(this.open(signal), signal);
      signal.throwIfAborted();
    } finally {
      this.waiting--;
    }
  }

  /**
   * Until it opens or closes for good; says why it does not, and again only when that is another reason. Never rejects.
   *
   * @param ready before which it is not asked: without a broker no peer can be met; never rejects
   */
  async passAtLast(retryMs: number, ready: Promise<void> = Promise.resolve()): Promise<'open' | 'closed'> {
    const { signal } = this.end;
    this.waiting++;
    try {
      for (let said = ''; !signal.aborted; ) {
        try {
          await abortable(ready, signal);
          await this.pass();
          return 'open';
        } catch (error) {
          const reason = describeError(error);
          if (!signal.aborted && reason !== said)
            this.logger.error(`Nothing is consumed yet; tried again every ${retryMs} ms. ${reason}`);
          said = reason;
        }
        await pause(retryMs, signal);
      }
      return 'closed';
    } finally {
      this.waiting--;
    }
  }

  /** It does not open any more. Idempotent. */
  close(): void {
    this.end.abort(new BusClosedError('start'));
  }
}
