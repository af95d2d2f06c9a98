/** Resolves when it has been told so many times. */
export class Countdown {
  readonly done: Promise<void>;
  private finish: () => void = () => undefined;

  constructor(private left: number) {
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  tick(): void {
    if (--this.left === 0) this.finish();
  }
}
