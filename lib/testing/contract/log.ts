import assert from 'node:assert/strict';
import { quiet, WAIT_MS } from './until.js';

/** What a case has seen, in order; whoever waits for more is woken, nobody polls. */
export class Log<T> {
  readonly items: T[] = [];
  private readonly waiters = new Set<() => void>();
  private failure: { readonly error: unknown } | undefined;

  constructor(private readonly what: string = 'entries') {}

  get length(): number {
    return this.items.length;
  }

  readonly add = (item: T): void => {
    this.items.push(item);
    this.wake();
  };

  /** Makes everyone who waits, now or later, fail with `error`. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.wake();
  }

  /** Resolves when there are at least `count`. */
  async reach(count: number, ms: number = WAIT_MS): Promise<readonly T[]> {
    const end = Date.now() + ms;
    for (;;) {
      if (this.failure) throw this.failure.error;
      if (this.items.length >= count) return this.items;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`Within ${ms} ms only ${this.items.length} of ${count} ${this.what} came.`);
      await this.change(left);
    }
  }

  /** Resolves when there are `count`, and no more come. */
  async settle(count: number, quietMs?: number): Promise<readonly T[]> {
    await this.reach(count);
    await quiet(quietMs);
    if (this.failure) throw this.failure.error;
    assert.equal(this.items.length, count, `${this.what}: more came than should`);
    return this.items;
  }

  private change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.waiters.add(done);
    });
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }
}
