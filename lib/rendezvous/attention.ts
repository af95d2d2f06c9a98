import { withDeadline } from '../core/deadline.js';
import { BusClosedError, ConnectionError } from '../core/errors.js';

/** Ends it; never rejects. */
export type Release = () => Promise<void>;

interface Span {
  holders: number;
  readonly opened: Promise<Release>;
  readonly giveUp: AbortController;
}

/** Something that is open as long as somebody holds it. */
export class Attention {
  private span: Span | undefined;

  constructor(
    private readonly open: (signal: AbortSignal) => Promise<Release>,
    /** Nobody holds it any more. */
    private readonly onEnd: () => void = () => undefined,
  ) {}

  get isHeld(): boolean {
    return this.span !== undefined;
  }

  /**
   * Resolves when it is open.
   *
   * @throws ConnectionError when that takes too long, the reason of the signal, what `open` rejects with
   */
  async hold(timeoutMs: number, signal: AbortSignal): Promise<Release> {
    this.span ??= this.begin();
    const { span } = this;
    span.holders++;
    let isHeld = true;
    const release = async (): Promise<void> => {
      if (!isHeld) return;
      isHeld = false;
      if (--span.holders === 0) await this.finish(span);
    };
    const late = (): Error => new ConnectionError(`The broker could not be reached within ${timeoutMs} ms.`);
    try {
      await withDeadline(span.opened, timeoutMs, late, signal);
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  }

  private begin(): Span {
    const giveUp = new AbortController();
    const span: Span = { holders: 0, opened: this.open(giveUp.signal), giveUp };
    span.opened.catch(() => {
      // whoever holds it next tries again
      if (this.span === span) this.span = undefined;
    });
    return span;
  }

  private async finish(span: Span): Promise<void> {
    if (this.span === span) {
      this.span = undefined;
      this.onEnd();
    }
    span.giveUp.abort(new BusClosedError('listen'));
    try {
      const release = await span.opened;
      await release();
    } catch {
      // it was never open, which its holders were told
    }
  }
}
