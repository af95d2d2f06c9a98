import { type Observable, Subject, takeUntil } from 'rxjs';
import { Deque } from '../core/deque.js';
import { EventBusError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';

const DONE: IteratorResult<unknown> = Object.freeze({ done: true, value: undefined });

/**
 * The values of an Observable, one for each `next()`; `undefined` is no value. An Observable cannot be told to wait: what is not
 * asked for yet is kept, up to `LIMITS.streamBacklog` values, and beyond that it fails. An AsyncIterable among the values stands for
 * its own ones, for so interceptors pass on what an `async *` method gives.
 */
export class ObservableReader implements AsyncIterator<unknown> {
  private readonly values = new Deque<unknown>();
  private readonly stop = new Subject<void>();
  private inner: AsyncIterator<unknown> | undefined;
  private failure: { readonly error: unknown } | undefined;
  private isEnded = false;
  private wake: (() => void) | undefined;

  constructor(source: Observable<unknown>) {
    source.pipe(takeUntil(this.stop)).subscribe({
      next: (value) => this.add(value),
      error: (error: unknown) => this.end({ error }),
      complete: () => this.end(undefined),
    });
  }

  /** Whether it is known already that nothing comes any more, not even an error. */
  get isOver(): boolean {
    return this.isEnded && this.failure === undefined && this.values.size === 0 && this.inner === undefined;
  }

  async next(): Promise<IteratorResult<unknown>> {
    for (;;) {
      const { inner } = this;
      if (inner) {
        const result = await inner.next();
        if (result.done !== true) return result;
        this.inner = undefined;
      } else if (this.values.size > 0) {
        const value = this.values.shift();
        if (!isAsyncIterable(value)) return { done: false, value };
        this.inner = value[Symbol.asyncIterator]();
      } else if (this.isEnded) {
        const { failure } = this;
        this.failure = undefined;
        if (failure) throw failure.error;
        return DONE;
      } else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.values.drain();
    this.failure = undefined;
    this.stop.next();
    await this.inner?.return?.();
    return DONE;
  }

  private add(value: unknown): void {
    if (this.isEnded || value === undefined) return;
    if (this.values.size >= LIMITS.streamBacklog) {
      this.end({ error: overrun() });
      this.stop.next();
      return;
    }
    this.values.push(value);
    this.wake?.();
  }

  private end(failure: { readonly error: unknown } | undefined): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.failure = failure;
    this.wake?.();
  }
}

function overrun(): Error {
  return new EventBusError(
    'STREAM_OVERRUN',
    `The handler's Observable is ${LIMITS.streamBacklog} values ahead of whoever reads them, and cannot be told to wait. Let the handler return an AsyncIterable (async *), which is asked for each value.`,
  );
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
