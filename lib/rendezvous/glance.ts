import type { Release } from './attention.js';

/** Keeps something open for a while after each look at it. */
export class Glance {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly ms: number,
    private readonly open: () => Promise<Release>,
    private readonly onFailed: (error: unknown) => void,
  ) {}

  look(): void {
    if (this.timer) {
      this.timer.refresh();
      return;
    }
    const opened = this.open();
    const timer = setTimeout(() => {
      this.timer = undefined;
      opened.then(
        (release) => release(),
        () => undefined, // told below
      );
    }, this.ms).unref();
    this.timer = timer;
    opened.catch((error: unknown) => {
      if (this.timer === timer) this.end(); // the next look tries again
      this.onFailed(error);
    });
  }

  /** Whoever has opened it closes it. */
  end(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
