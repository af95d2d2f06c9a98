import { ANY, assertValid, integer, shape } from '../core/options.js';
import type { OutgoingCommand, RequestAllOptions } from './command-options.js';

const CONCURRENCY = 10;
const OPTIONS_SHAPE = shape({ concurrency: integer(1, 100_000), timeoutMs: ANY, signal: ANY, headers: ANY });

/**
 * Asks for answers, so many at one time, however long the sequence is.
 *
 * @param ask must return a promise for each; its `common` options are for all of them
 * @returns the outcomes, each at its position; once `signal` has aborted, of those that had begun. Rejects only for wrong options,
 *   or when the sequence itself fails: after what was begun has settled
 */
export async function requestAll<R>(
  commands: Iterable<OutgoingCommand> | AsyncIterable<OutgoingCommand>,
  options: RequestAllOptions = {},
  ask: (command: OutgoingCommand, common: Omit<RequestAllOptions, 'concurrency'>) => Promise<R>,
): Promise<readonly PromiseSettledResult<R>[]> {
  assertValid(OPTIONS_SHAPE, options, 'requestAll options');
  const { concurrency = CONCURRENCY, ...common } = options;
  const results: PromiseSettledResult<R>[] = [];
  let inFlight = 0;
  let wake: (() => void) | undefined;
  const begin = (command: OutgoingCommand, at: number): void => {
    inFlight++;
    const settle = (result: PromiseSettledResult<R>): void => {
      results[at] = result;
      inFlight--;
      wake?.();
    };
    ask(command, common).then(
      (value) => settle({ status: 'fulfilled', value }),
      (reason: unknown) => settle({ status: 'rejected', reason }),
    );
  };
  const fewerThan = async (limit: number): Promise<void> => {
    while (inFlight >= limit) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  let index = 0;
  try {
    for await (const command of commands) {
      await fewerThan(concurrency);
      if (options.signal?.aborted) break;
      begin(command, index++);
    }
  } finally {
    await fewerThan(1);
  }
  return results;
}
