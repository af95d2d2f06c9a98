import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/core/errors.js';
import type { OutgoingCommand } from '../../../lib/rpc/command-options.js';
import { requestAll } from '../../../lib/rpc/request-all.js';
import { caughtFrom } from '../support/caught.js';
import { type Deferred, deferred, settled } from '../support/deferred.js';

/** Asks whose answers are the test's. */
function start(commands: Iterable<OutgoingCommand> | AsyncIterable<OutgoingCommand>, options?: object) {
  const asked: { readonly command: OutgoingCommand; readonly common: object; readonly answer: Deferred<unknown> }[] =
    [];
  const results = requestAll(commands, options, (command, common) => {
    const answer = deferred<unknown>();
    asked.push({ command, common, answer });
    return answer.promise;
  });
  results.catch(() => undefined);
  return { asked, results };
}

function* numbered(count: number, onTaken: (n: number) => void = () => undefined): Generator<OutgoingCommand> {
  for (let n = 0; n < count; n++) {
    onTaken(n);
    yield { command: 'work', payload: n };
  }
}

describe('requestAll', () => {
  it('has ten under way unless it is told otherwise, and takes one more when one has settled', async () => {
    let taken = 0;
    const { asked, results } = start(
      numbered(12, () => {
        taken++;
      }),
    );
    await settled();
    expect([asked.length, taken]).toEqual([10, 11]);
    asked[3]?.answer.resolve('four');
    await settled();
    expect([asked.length, taken]).toEqual([11, 12]);
    for (const { answer } of asked) answer.reject(new Error('no'));
    await settled();
    asked[11]?.answer.resolve('last');
    const outcomes = await results;
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(
      Array.from({ length: 12 }, (_, n) => n === 3 || n === 11),
    );
  });

  it('gives each what is said for all but its concurrency, and what was taken waits for its turn', async () => {
    const { signal } = new AbortController();
    const { asked, results } = start(numbered(2), { concurrency: 1, timeoutMs: 5, signal, headers: { a: 1 } });
    await settled();
    expect(asked.map(({ common }) => common)).toEqual([{ timeoutMs: 5, signal, headers: { a: 1 } }]);
    asked[0]?.answer.resolve(0);
    await settled();
    asked[1]?.answer.resolve(1);
    expect(await results).toEqual([
      { status: 'fulfilled', value: 0 },
      { status: 'fulfilled', value: 1 },
    ]);
  });

  it('aborted: takes no more and closes the sequence, but waits for what is under way', async () => {
    const end = new AbortController();
    let isClosed = false;
    const endless = function* (): Generator<OutgoingCommand> {
      try {
        for (;;) yield { command: 'work' };
      } finally {
        isClosed = true;
      }
    };
    const { asked, results } = start(endless(), { concurrency: 2, signal: end.signal });
    await settled();
    end.abort();
    asked[0]?.answer.resolve('done');
    await settled();
    expect([asked.length, isClosed]).toEqual([2, true]);
    asked[1]?.answer.resolve('done too');
    expect(await results).toHaveLength(2);
  });

  it('a sequence that fails: rejects with its error when what is under way has settled', async () => {
    const broken = new Error('broken');
    const breaking = async function* (): AsyncGenerator<OutgoingCommand> {
      yield { command: 'work' };
      throw broken;
    };
    let isOver = false;
    const { asked, results } = start(breaking());
    const error = caughtFrom(results).finally(() => {
      isOver = true;
    });
    await settled();
    expect(isOver).toBe(false);
    asked[0]?.answer.resolve(1);
    expect(await error).toBe(broken);
  });

  it('asks nobody when the options are wrong', async () => {
    for (const options of [{ concurrency: 0 }, { concurency: 1 }, null] as object[]) {
      const { asked, results } = start(numbered(1), options);
      expect(await caughtFrom(results)).toBeInstanceOf(ConfigurationError);
      expect(asked).toEqual([]);
    }
  });
});
