import { getEventListeners } from 'node:events';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, jest } from '@jest/globals';
import { abortable, pause, withDeadline } from '../../../lib/core/deadline.js';
import { EventBusError } from '../../../lib/core/errors.js';
import { withFakeTimers } from '../support/fake-timers.js';

const late = (): Error => new Error('too late');

/** How a promise has ended by now: `pending` if it has not. */
function watch(promise: Promise<unknown>): { outcome: unknown } {
  const seen: { outcome: unknown } = { outcome: 'pending' };
  promise.then(
    (value) => {
      seen.outcome = { value };
    },
    (error: unknown) => {
      seen.outcome = { error };
    },
  );
  return seen;
}

describe('withDeadline', () => {
  withFakeTimers();

  it('resolves like the work, and leaves no timer', async () => {
    await expect(withDeadline(Promise.resolve(7), 1_000, late)).resolves.toBe(7);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('rejects with the very error of the work, and leaves no timer', async () => {
    const error = new EventBusError('X', 'x');
    await expect(withDeadline(Promise.reject(error), 1_000, late)).rejects.toBe(error);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('rejects at the deadline, not before', async () => {
    const seen = watch(withDeadline(new Promise(() => undefined), 1_000, late));
    await jest.advanceTimersByTimeAsync(999);
    expect(seen.outcome).toBe('pending');
    await jest.advanceTimersByTimeAsync(1);
    expect(seen.outcome).toEqual({ error: new Error('too late') });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('makes the error only when it is needed', async () => {
    const error = jest.fn(late);
    await withDeadline(Promise.resolve(), 10, error);
    await jest.advanceTimersByTimeAsync(20);
    expect(error).not.toHaveBeenCalled();
  });

  it('takes work that ends just before the deadline', async () => {
    const work = new Promise((resolve) => setTimeout(() => resolve('done'), 999));
    const seen = watch(withDeadline(work, 1_000, late));
    await jest.advanceTimersByTimeAsync(1_000);
    expect(seen.outcome).toEqual({ value: 'done' });
  });

  it('rejects with the reason of a signal, before or while it waits, and leaves nothing behind', async () => {
    const reason = new Error('enough');
    const never = new Promise(() => undefined);
    await expect(withDeadline(never, 1_000, late, AbortSignal.abort(reason))).rejects.toBe(reason);
    const stop = new AbortController();
    const seen = watch(withDeadline(never, 1_000, late, stop.signal));
    await jest.advanceTimersByTimeAsync(999);
    stop.abort(reason);
    await jest.advanceTimersByTimeAsync(0);
    expect(seen.outcome).toEqual({ error: reason });
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each([
    ['done', Promise.resolve(7)],
    ['late', new Promise(() => undefined)],
  ])('does not listen to a signal any more when it is %s', async (_, work) => {
    const { signal } = new AbortController();
    watch(withDeadline(work, 10, late, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(10);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('drops what comes late, without an unhandled rejection', async () => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    try {
      let fail: (error: Error) => void = () => undefined;
      const work = new Promise<void>((_, reject) => {
        fail = reject;
      });
      const seen = watch(withDeadline(work, 10, late));
      await jest.advanceTimersByTimeAsync(10);
      fail(new Error('after the deadline'));
      jest.useRealTimers();
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(seen.outcome).toEqual({ error: new Error('too late') });
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('rejects with an Error even when the work does not', async () => {
    await expect(withDeadline(Promise.reject('plain text'), 1_000, late)).rejects.toThrow('plain text');
  });

  // every error of Node itself is of another realm in the tests of users who have Jest; its code must not get lost
  it('rejects with the very error of the work when that is of another realm', async () => {
    const foreign = runInNewContext("Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })") as unknown;
    expect(foreign).not.toBeInstanceOf(Error);
    const seen = watch(withDeadline(Promise.reject(foreign), 1_000, late));
    await jest.advanceTimersByTimeAsync(0);
    expect(seen.outcome).toMatchObject({ error: { code: 'ECONNREFUSED', message: 'refused' } });
  });
});

describe('pause', () => {
  withFakeTimers();

  it('resolves after its time, not before', async () => {
    const seen = watch(pause(500));
    await jest.advanceTimersByTimeAsync(499);
    expect(seen.outcome).toBe('pending');
    await jest.advanceTimersByTimeAsync(1);
    expect(seen.outcome).toEqual({ value: undefined });
  });

  it('resolves at once when the signal aborts, and leaves no timer and no listener', async () => {
    const controller = new AbortController();
    const seen = watch(pause(60_000, controller.signal));
    await jest.advanceTimersByTimeAsync(10);
    expect(seen.outcome).toBe('pending');
    expect(jest.getTimerCount()).toBe(1);
    controller.abort(new Error('closed'));
    await jest.advanceTimersByTimeAsync(0);
    expect(seen.outcome).toEqual({ value: undefined });
    expect(jest.getTimerCount()).toBe(0);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  it('does not wait at all when the signal is aborted already', async () => {
    const seen = watch(pause(60_000, AbortSignal.abort()));
    expect(jest.getTimerCount()).toBe(0);
    await jest.advanceTimersByTimeAsync(0);
    expect(seen.outcome).toEqual({ value: undefined });
  });

  it('leaves no listener behind when its time is over', async () => {
    const { signal } = new AbortController();
    const all = Promise.all(Array.from({ length: 5 }, () => pause(10, signal)));
    expect(getEventListeners(signal, 'abort')).toHaveLength(5);
    await jest.advanceTimersByTimeAsync(10);
    await all;
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('abortable', () => {
  it.each([
    ['resolves', () => Promise.resolve(7), { value: 7 }],
    ['rejects', () => Promise.reject(new EventBusError('X', 'x')), { error: expect.any(EventBusError) }],
  ] as const)('%s like the work, and leaves no listener', async (_, work, outcome) => {
    const { signal } = new AbortController();
    const seen = watch(abortable<unknown>(work(), signal));
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen.outcome).toEqual(outcome);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it.each(['before', 'while'] as const)(
    'rejects with the reason of a signal that is aborted %s it waits',
    async (when) => {
      const abort = new AbortController();
      const reason = new EventBusError('ENDED', 'ended');
      if (when === 'before') abort.abort(reason);
      const seen = watch(abortable(new Promise(() => undefined), abort.signal));
      abort.abort(reason);
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen.outcome).toEqual({ error: reason });
    },
  );

  it('drops what the work rejects with later', async () => {
    const abort = new AbortController();
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const ended = abortable(work, abort.signal).catch((error: unknown) => error);
    abort.abort('gone');
    expect(await ended).toBe('gone');
    fail(new Error('late'));
    await new Promise((resolve) => setImmediate(resolve));
  });
});
