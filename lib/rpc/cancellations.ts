import type { ControlChannel, ControlListener } from '../bus/control-channel.js';
import { BusClosedError, ConnectionError, EventBusError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';

/** Kind of the message by which instances are told that nobody waits for some answers any more. */
const CANCEL = 'cancel';
/** In one message. */
const MOST = 500;
/** A broker that refuses a message closes the channel of all publishes, so it is not tried with each. */
const REFUSED_MS = 60_000;
const EVER_MS = 2 ** 31 - 1;
const UNHEARD = 'Handlers of commands do not hear when nobody waits for their answer any more';

/** Tells whoever handles a request that nobody waits for its answer any more: every instance hears it, for any may have it. */
export class Cancellations {
  private ids: string[] = [];
  private listening: Promise<void> | undefined;
  private isWarned = false;
  private quietUntil = 0;

  constructor(
    private readonly control: ControlChannel,
    private readonly logger: BusLogger,
  ) {}

  /** Those of one turn of the event loop go together. A handler that does not hear of it ends by the deadline of its request. */
  readonly tell = (requestId: string): void => {
    if (performance.now() < this.quietUntil) return;
    this.ids.push(requestId);
    if (this.ids.length === 1) setImmediate(this.flush);
  };

  /**
   * Hears of requests that are cancelled. Never rejects: without it, handlers are told by the deadlines of their requests alone,
   * until the broker can be reached.
   *
   * @param onCancelled must not throw
   */
  listen(onCancelled: (requestId: string) => void): Promise<void> {
    this.listening ??= this.hear(onCancelled);
    return this.listening;
  }

  private async hear(onCancelled: (requestId: string) => void): Promise<void> {
    const listener: ControlListener = {
      onMessage: (kind, { requests }) => {
        if (kind !== CANCEL || !Array.isArray(requests)) return;
        for (const id of requests.slice(0, MOST)) if (typeof id === 'string') onCancelled(id);
      },
    };
    try {
      await this.control.listen(listener);
    } catch (error) {
      this.warn(UNHEARD, error);
      // whoever starts does not wait for it, but a broker that comes later is listened to
      if (error instanceof ConnectionError && error.retryable) void this.hearLater(listener);
    }
  }

  /** Never rejects. */
  private async hearLater(listener: ControlListener): Promise<void> {
    try {
      await this.control.listen(listener, { timeoutMs: EVER_MS });
    } catch (error) {
      if (!(error instanceof BusClosedError)) this.warn(UNHEARD, error);
    }
  }

  private readonly flush = (): void => {
    const ids = this.ids;
    this.ids = [];
    for (let at = 0; at < ids.length; at += MOST) {
      this.control.send(CANCEL, { requests: ids.slice(at, at + MOST) }).catch((error: unknown) => {
        if (error instanceof EventBusError && !error.retryable) this.quietUntil = performance.now() + REFUSED_MS;
        this.warn('Handlers were not told that nobody waits for their answer', error);
      });
    }
  };

  private warn(what: string, error: unknown): void {
    if (this.isWarned) return;
    this.isWarned = true;
    this.logger.warn(`${what} (${describeError(error)}): they end by the deadlines of the requests. Said once.`);
  }
}
