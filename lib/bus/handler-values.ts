import { filter, isObservable, lastValueFrom, Observable, takeUntil } from 'rxjs';
import { isAsyncIterable, ObservableReader } from './observable-reader.js';

export { isAsyncIterable };

/** What a handler may give instead of one value. */
export type HandlerValues = AsyncIterable<unknown> | Observable<unknown>;

/** Gives values one by one, to whoever asks for the next one. */
export interface ValueReader extends AsyncIterator<unknown> {
  /** Whether it is known already that nothing comes any more, not even an error. */
  readonly isOver?: boolean;
}

export function isHandlerValues(result: unknown): result is HandlerValues {
  return typeof result === 'object' && result !== null && (isAsyncIterable(result) || isObservable(result));
}

/**
 * Runs a handler to its end: an `async *` method does nothing before it is asked for values.
 *
 * @returns the last value; undefined when there was none
 * @throws what the handler throws; the reason of `signal`, once that has aborted: then it is asked for no further value
 */
export async function lastOf(values: HandlerValues, signal: AbortSignal): Promise<unknown> {
  const given: unknown = isObservable(values)
    ? await lastValueFrom(values.pipe(filter(isValue)), { defaultValue: undefined })
    : values;
  if (!isAsyncIterable(given)) return given;
  let last: unknown;
  for await (const value of given) {
    if (signal.aborted) throw signal.reason; // it has not come to its end, and must not count as handled
    if (isValue(value)) last = value;
  }
  return last;
}

/** `undefined` is none, as in a stream. */
function isValue(value: unknown): boolean {
  return value !== undefined;
}

/** The same values; an Observable is unsubscribed once `signal` aborts, and fails with its reason. */
export function cutBy(signal: AbortSignal, values: HandlerValues): HandlerValues {
  return isObservable(values) ? values.pipe(takeUntil(failureBy(signal))) : values;
}

function failureBy(signal: AbortSignal): Observable<never> {
  return new Observable((subscriber) => {
    const onAbort = (): void => subscriber.error(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return () => signal.removeEventListener('abort', onAbort);
  });
}

export function readerOf(values: HandlerValues): ValueReader {
  return isObservable(values) ? new ObservableReader(values) : values[Symbol.asyncIterator]();
}
