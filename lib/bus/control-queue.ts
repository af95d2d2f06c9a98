import { withDeadline } from '../core/deadline.js';
import { BusClosedError } from '../core/errors.js';
import type { ConsumeEvents, Consumer, Source, Transport } from '../core/transport.js';

/** A consumer may take so much longer than its deadline to close. */
const GRACE_MS = 3_000;

/** A private queue that is there as long as somebody needs it. */
export class ControlQueue {
  /** Resolves when its bindings are in force. */
  readonly opened: Promise<Consumer>;
  private readonly giveUp = new AbortController();
  private isOpen = false;

  constructor(transport: Transport, source: Source, events: ConsumeEvents) {
    this.opened = transport.consume(source, events, this.giveUp.signal);
    this.opened.then(
      () => {
        this.isOpen = true;
      },
      () => undefined, // whoever waits for it is told
    );
  }

  /** Never rejects. What is not open yet is given up. */
  async close(deadlineMs: number): Promise<void> {
    const { isOpen } = this;
    if (!isOpen) this.giveUp.abort(new BusClosedError('listen'));
    const closed = this.opened.then((consumer) => consumer.close({ deadlineMs }));
    const late = (): Error => new BusClosedError('wait longer');
    try {
      await withDeadline(closed, isOpen ? deadlineMs + GRACE_MS : deadlineMs, late);
    } catch {
      // there is nothing to close, or it goes when it comes
    }
  }
}
