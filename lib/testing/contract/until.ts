import { setTimeout as pause } from 'node:timers/promises';

/** How long a case waits for something that must come. */
export const WAIT_MS = 8_000;
/** How long a case listens to show that nothing more comes. */
const QUIET_MS = 80;
const POLL_MS = 15;

/** Waits for what cannot be awaited: asks again and again until it holds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms: number = WAIT_MS,
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() >= end) throw new Error(`Not reached within ${ms} ms: ${what}`);
    await pause(POLL_MS);
  }
}

/** Time in which something that must not happen could happen. Only to show that nothing more comes. */
export function quiet(ms: number = QUIET_MS): Promise<void> {
  return pause(ms);
}

/** Settles as `work` does, or rejects after `ms`; the error of `work` is passed on as it is, stack and all. */
export async function bounded<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  const timer = new AbortController();
  const tooLong = pause(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} took longer than ${ms} ms.`);
  });
  tooLong.catch(() => undefined); // aborted: the work was faster
  try {
    return await Promise.race([work, tooLong]);
  } finally {
    timer.abort();
  }
}
