import { getEventListeners } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { concat, from, NEVER, Observable, of, range, Subject, throwError } from 'rxjs';
import { cutBy, isHandlerValues, lastOf, readerOf } from '../../../lib/bus/handler-values.js';
import { LIMITS } from '../../../lib/core/limits.js';

const RUN = new AbortController().signal;

async function* numbers(to: number) {
  for (let n = 0; n < to; n++) yield n;
}

async function* withGaps() {
  yield 1;
  yield undefined;
}

async function readAll(values: Parameters<typeof readerOf>[0]): Promise<unknown[]> {
  const reader = readerOf(values);
  const seen: unknown[] = [];
  for (let next = await reader.next(); next.done !== true; next = await reader.next()) seen.push(next.value);
  return seen;
}

describe('what a handler gives in the course of time', () => {
  it('is an AsyncIterable or an Observable, and nothing else', () => {
    for (const values of [numbers(1), of(1), new Subject()]) expect(isHandlerValues(values)).toBe(true);
    for (const value of [undefined, null, 0, 'text', [1], {}, new Set([1]), () => numbers(1)])
      expect(isHandlerValues(value)).toBe(false);
  });

  it('its last value; undefined of nothing; its error', async () => {
    expect(await lastOf(numbers(3), RUN)).toBe(2);
    expect(await lastOf(of(1, 2), RUN)).toBe(2);
    expect(await lastOf(of(numbers(3)), RUN)).toBe(2);
    expect(await lastOf(numbers(0), RUN)).toBeUndefined();
    expect(await lastOf(of(), RUN)).toBeUndefined();
    expect(await lastOf(of(1, undefined), RUN)).toBe(1);
    expect(await lastOf(withGaps(), RUN)).toBe(1);
    const fails = throwError(() => new Error('as asked'));
    await expect(lastOf(fails, RUN)).rejects.toThrow('as asked');
  });

  it('is asked for no more when it was told to stop: its finally runs, and it has not succeeded', async () => {
    const run = new AbortController();
    const told = { asked: 0, ended: 0 };
    async function* endless() {
      try {
        for (;;) {
          if (++told.asked === 4) run.abort(new Error('its time is over'));
          yield told.asked;
        }
      } finally {
        told.ended++;
      }
    }
    await expect(lastOf(endless(), run.signal)).rejects.toThrow('its time is over');
    expect(told).toEqual({ asked: 4, ended: 1 });
  });
});

describe('values that are cut', () => {
  it('an Observable that never ends is unsubscribed when nobody waits any more; nothing is left at the signal', async () => {
    const run = new AbortController();
    let left = 0;
    const endless = new Observable<unknown>(() => () => left++);
    const last = lastOf(cutBy(run.signal, endless), run.signal);
    run.abort(new Error('nobody waits'));
    await expect(last).rejects.toThrow('nobody waits');
    expect(left).toBe(1);
    await expect(lastOf(cutBy(run.signal, endless), run.signal)).rejects.toThrow('nobody waits');
    expect(left).toBe(1);
    const other = new AbortController().signal;
    expect(await lastOf(cutBy(other, of(1, 2)), other)).toBe(2);
    expect(getEventListeners(other, 'abort')).toEqual([]);
    expect(await lastOf(cutBy(other, numbers(3)), other)).toBe(2);
  });
});

describe('a reader of an Observable', () => {
  it('gives its values in order, those of an AsyncIterable among them too, then its error', async () => {
    expect(await readAll(of(1, undefined, 2))).toEqual([1, 2]);
    expect(await readAll(concat(of('a'), of(numbers(2)), of('b')))).toEqual(['a', 0, 1, 'b']);
    const reader = readerOf(
      concat(
        of(1),
        throwError(() => new Error('as asked')),
      ),
    );
    expect(await reader.next()).toEqual({ done: false, value: 1 });
    expect(reader.isOver).toBe(false);
    await expect(reader.next()).rejects.toThrow('as asked');
    expect(await reader.next()).toMatchObject({ done: true });
  });

  it('waits for what comes later', async () => {
    const source = new Subject<number>();
    const reader = readerOf(source);
    const next = reader.next();
    source.next(1);
    expect(await next).toEqual({ done: false, value: 1 });
    expect(reader.isOver).toBe(false);
    source.complete();
    expect(reader.isOver).toBe(true);
    expect(await reader.next()).toMatchObject({ done: true });
  });

  it('of one that is too far ahead, even at once and without end: an error that says what to do', async () => {
    const seen: unknown[] = [];
    const reader = readerOf(range(0, Number.POSITIVE_INFINITY));
    const reading = (async () => {
      for (let next = await reader.next(); next.done !== true; next = await reader.next()) seen.push(next.value);
    })();
    await expect(reading).rejects.toMatchObject({
      code: 'STREAM_OVERRUN',
      message: expect.stringMatching(/async \*/),
    });
    expect(seen).toHaveLength(LIMITS.streamBacklog);
    expect(await readAll(from(seen))).toHaveLength(LIMITS.streamBacklog);
  });

  it('returned: unsubscribes at once, ends what is being read and whoever waits', async () => {
    let left = 0;
    const source = new Observable<unknown>((subscriber) => {
      const subscription = NEVER.subscribe(subscriber);
      subscription.add(() => left++);
      return subscription;
    });
    const reader = readerOf(source);
    const waiting = reader.next();
    await reader.return?.();
    expect(left).toBe(1);
    expect(await waiting).toMatchObject({ done: true });
    let ended = 0;
    async function* inner() {
      try {
        yield* numbers(10);
      } finally {
        ended++;
      }
    }
    const outer = readerOf(concat(of(inner()), NEVER));
    await outer.next();
    await outer.return?.();
    expect(ended).toBe(1);
    expect(await outer.next()).toMatchObject({ done: true });
  });
});
