import type { PublishAllResult } from './publish-options.js';

/**
 * Publishes a sequence: in order, never more than `window` at a time, so that memory stays bounded however long it is.
 * Never rejects for a single event; an error of the sequence itself rejects after what was begun has settled.
 */
export async function publishAll<T>(
  events: Iterable<T> | AsyncIterable<T>,
  window: number,
  publish: (event: T) => Promise<unknown>,
): Promise<PublishAllResult> {
  const failed: { index: number; error: unknown }[] = [];
  let confirmed = 0;
  let inFlight = 0;
  let wake: (() => void) | undefined;
  let limit = 0;
  const settled = (): void => {
    inFlight--;
    if (inFlight <= limit) wake?.();
  };
  const waitFor = async (atMost: number): Promise<void> => {
    if (inFlight <= atMost) return;
    limit = atMost;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    wake = undefined;
  };
  const begin = (event: T, index: number): void => {
    inFlight++;
    publish(event).then(
      () => {
        confirmed++;
        settled();
      },
      (error: unknown) => {
        failed.push({ index, error });
        settled();
      },
    );
  };
  // refilled by the quarter: to wake for each confirmation would cost more than the confirmation
  const low = Math.floor(window * 0.75);
  let index = 0;
  try {
    if (Symbol.asyncIterator in events) {
      for await (const event of events) {
        begin(event, index++);
        if (inFlight >= window) await waitFor(low);
      }
    } else {
      for (const event of events) {
        begin(event, index++);
        if (inFlight >= window) await waitFor(low);
      }
    }
  } finally {
    await waitFor(0);
  }
  failed.sort((a, b) => a.index - b.index);
  return { confirmed, failed };
}
