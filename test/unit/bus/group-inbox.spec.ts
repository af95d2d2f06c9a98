import { describe, expect, it, jest } from '@jest/globals';
import { GroupInbox } from '../../../lib/bus/group-inbox.js';
import { IdSource } from '../../../lib/core/id-source.js';
import type { InboxStore } from '../../../lib/core/inbox.js';
import { deferred } from '../support/deferred.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { RecordingLogger } from '../support/recording.logger.js';

function setUp(over: Partial<InboxStore> = {}, timeoutMs = 60_000) {
  const calls: unknown[][] = [];
  const kept =
    <A extends unknown[], R>(name: string, call: (...args: A) => R) =>
    (...args: A): R => {
      calls.push([name, ...args]);
      return call(...args);
    };
  const store: InboxStore = {
    claim: kept('claim', over.claim ?? (async () => 'new')),
    done: kept('done', over.done ?? (async () => undefined)),
    forget: kept('forget', over.forget ?? (async () => undefined)),
  };
  const logger = new RecordingLogger();
  const options = { group: 'mail', scope: 'dev.mail', store, timeoutMs, windowMs: 9_000, ids: new IdSource(), logger };
  const claim = new GroupInbox(options).open('m-1');
  return { claim, calls, logger, names: () => calls.map(([name]) => name) };
}

const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

describe('GroupInbox', () => {
  withFakeTimers();

  it('asks the store in the name of its scope, for longer than the handler can run', async () => {
    const { claim, calls, logger } = setUp();
    expect(await claim.take()).toBe('new');
    await claim.forget();
    await claim.done();
    const owner: unknown = calls[0]?.at(-1);
    expect(calls).toEqual([
      ['claim', 'dev.mail', 'm-1', 70_000, owner],
      ['forget', 'dev.mail', 'm-1', owner],
      ['done', 'dev.mail', 'm-1', 9_000, owner],
    ]);
    expect(logger.lines).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });

  const failures: [string, () => Promise<never>][] = [
    ['rejects', () => Promise.reject(new Error('database away'))],
    [
      'throws',
      () => {
        throw new Error('database away');
      },
    ],
  ];
  it.each(failures)('outlives a store that %s, and says what follows', async (_, fail) => {
    const { claim, logger } = setUp({ claim: fail, done: fail, forget: fail });
    expect(await claim.take()).toBe('unknown');
    await claim.done();
    await claim.forget();
    expect(logger.lines).toEqual([
      'error: mail: the inbox failed on claim: Error: database away. Messages are put off until it works again.',
      'error: mail: the inbox failed on done: Error: database away. A duplicate of what was handled would be handled again.',
      'error: mail: the inbox failed on forget: Error: database away. What has failed is tried again when its claim has expired.',
    ]);
  });

  it('says it once in 30 s', async () => {
    const { claim, logger } = setUp({ claim: () => Promise.reject(new Error('away')) });
    const failFor = async (ms: number): Promise<void> => {
      await claim.take();
      await jest.advanceTimersByTimeAsync(ms);
    };
    await jest.advanceTimersByTimeAsync(40_000);
    await failFor(29_999);
    await failFor(1);
    expect(logger.lines).toHaveLength(1);
    await failFor(0);
    expect(logger.lines).toHaveLength(2);
  });

  it.each([
    [60_000, 5_000],
    [3_000, 1_500],
    [1, 1],
  ])('with a handler that may take %d ms it waits %d ms for a store that does not answer', async (timeoutMs, ms) => {
    const { claim, logger } = setUp({ claim: never, done: never, forget: never }, timeoutMs);
    for (const call of [() => claim.take(), () => claim.done(), () => claim.forget()]) {
      let isOver = false;
      void call().then(() => {
        isOver = true;
      });
      await jest.advanceTimersByTimeAsync(ms - 1);
      expect(isOver).toBe(false);
      await jest.advanceTimersByTimeAsync(1);
      expect(isOver).toBe(true);
    }
    expect(logger.lines).toHaveLength(3);
    expect(logger.lines[0]).toContain(`longer than ${ms} ms`);
  });

  it.each([
    ['new', ['claim', 'forget']],
    ['busy', ['claim']],
    ['done', ['claim']],
  ] as const)('gives back a claim that comes too late: %s', async (answer, expected) => {
    const late = deferred<'new' | 'busy' | 'done'>();
    const { claim, names, calls } = setUp({ claim: () => late.promise });
    const taken = claim.take();
    await jest.advanceTimersByTimeAsync(5_000);
    expect(await taken).toBe('unknown');
    late.resolve(answer);
    await jest.advanceTimersByTimeAsync(0);
    expect(names()).toEqual(expected);
    expect(calls.at(-1)?.at(-1)).toBe(calls[0]?.at(-1)); // the same owner
  });

  it('outlives a claim that fails too late', async () => {
    const late = deferred<'new'>();
    const { claim, names } = setUp({ claim: () => late.promise });
    const taken = claim.take();
    await jest.advanceTimersByTimeAsync(5_000);
    expect(await taken).toBe('unknown');
    late.reject(new Error('at last'));
    await jest.advanceTimersByTimeAsync(0);
    expect(names()).toEqual(['claim']);
  });
});
