import { isError } from './is-error.js';

/**
 * Settles like `work`, or rejects with `error()` after `ms`, or with the reason of `signal`. The timer never outlives the
 * work; the work itself goes on and its late outcome is dropped, so use it only where that is harmless.
 */
export function withDeadline<T>(work: Promise<T>, ms: number, error: () => Error, signal?: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const giveUp = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', giveUp);
      reject(error());
    }, ms);
    const tidy = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    };
    if (signal?.aborted) giveUp();
    else signal?.addEventListener('abort', giveUp, { once: true });
    work.then(
      (value) => {
        tidy();
        resolve(value);
      },
      (cause: unknown) => {
        tidy();
        reject(isError(cause) ? cause : new Error(String(cause)));
      },
    );
  });
}

/**
 * Settles like `work`, or rejects with the reason of `signal`. The work itself goes on and its late outcome is dropped, so
 * use it only where that is harmless.
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason);
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

/** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
