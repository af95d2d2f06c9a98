import { pause, withDeadline } from '../core/deadline.js';
import { ConnectionError, EventBusError } from '../core/errors.js';
import type { Source, Transport } from '../core/transport.js';

/** Between two tries to declare it while the connection is away. */
const AGAIN_MS = 100;

/**
 * The exchange of the control channel as those need it who send: a broker closes the channel on which something is published
 * to an exchange that is not there.
 */
export class ControlExchange {
  private declaring: Promise<void> | undefined;
  private isStanding = false;

  constructor(
    private readonly transport: Transport,
    /** Private, and bound to it. */
    private readonly source: Source,
    private readonly name: string,
  ) {}

  /**
   * Resolves when it is there, and stays.
   *
   * @param signalOf called if there is something to wait for: on Node 20 each combined signal costs a little memory for ever
   * @throws ConnectionError when that takes too long, TopologyConflictError, the reason of the signal
   */
  async stand(timeoutMs: number, signalOf: () => AbortSignal): Promise<void> {
    if (this.isStanding) return;
    const signal = signalOf();
    const late = (cause?: unknown): Error =>
      new ConnectionError(`Exchange "${this.name}" could not be declared within ${timeoutMs} ms.`, { cause });
    await withDeadline(this.declare(performance.now() + timeoutMs, signal, late), timeoutMs, late, signal);
    this.isStanding = true;
  }

  private async declare(end: number, signal: AbortSignal, late: (cause: unknown) => Error): Promise<void> {
    for (;;) {
      try {
        await this.declareOnce();
        return;
      } catch (error) {
        if (error instanceof EventBusError && !error.retryable) throw error;
        if (performance.now() + AGAIN_MS >= end || signal.aborted) throw late(error);
        await pause(AGAIN_MS, signal);
      }
    }
  }

  private declareOnce(): Promise<void> {
    this.declaring ??= this.transport.declare(this.source).finally(() => {
      this.declaring = undefined;
    });
    return this.declaring;
  }
}
