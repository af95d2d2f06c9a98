/** Lets several go on when each of them has come to it, or none of them. */
export class Gate {
  private readonly opened: Promise<void>;
  private open: () => void = () => undefined;
  private refuse: (error: unknown) => void = () => undefined;

  /** @param awaited how many must come */
  constructor(private awaited: number) {
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.refuse = reject;
    });
    this.opened.catch(() => undefined); // whoever has come is told; perhaps nobody has
  }

  /** Resolves when all have come. */
  pass(): Promise<void> {
    this.awaited--;
    if (this.awaited === 0) this.open();
    return this.opened;
  }

  /** One does not come: the others reject. Without effect when the gate is open. */
  fail(error: unknown): void {
    this.refuse(error);
  }
}
