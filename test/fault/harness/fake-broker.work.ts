import { until } from '../../../lib/testing/contract/until.js';

interface Run {
  readonly payload: unknown;
  readonly end: (error?: Error) => void;
}

/** Handler runs that end when the test says so, in the order in which they began. */
export class HeldWork {
  readonly runs: Run[] = [];

  readonly hold = (payload: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      this.runs.push({ payload, end: (error) => (error ? reject(error) : resolve()) });
    });

  async begun(count: number, ms?: number): Promise<void> {
    await until(`${count} handlers run`, () => this.runs.length >= count, ms);
  }

  end(index: number, error?: Error): void {
    const run = this.runs[index];
    if (!run) throw new Error(`Only ${this.runs.length} handlers began.`);
    run.end(error);
  }
}
