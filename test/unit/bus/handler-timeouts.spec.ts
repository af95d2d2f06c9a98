import { describe, expect, it, jest } from '@jest/globals';
import { HandlerTimeouts, type Run } from '../../../lib/bus/handler-timeouts.js';
import { withFakeTimers } from '../support/fake-timers.js';

function aRun(): Run {
  return {
    startedAt: Date.now(),
    isTimedOut: false,
    isFinished: false,
    previous: undefined,
    next: undefined,
  };
}

function setUp() {
  const begin = Date.now();
  const late: [Run, number][] = [];
  const givenUp: [Run, number][] = [];
  const timeouts = new HandlerTimeouts<Run>(
    100,
    (run) => void late.push([run, Date.now() - begin]),
    (run) => void givenUp.push([run, Date.now() - begin]),
  );
  const watch = (): Run => {
    const run = aRun();
    timeouts.watch(run);
    return run;
  };
  return { timeouts, late, givenUp, watch };
}

describe('HandlerTimeouts', () => {
  withFakeTimers();

  it('tells of each run when its own time is over, with one timer', async () => {
    const { late, givenUp, watch } = setUp();
    const a = watch();
    await jest.advanceTimersByTimeAsync(40);
    const [b, c] = [watch(), watch()];
    expect(jest.getTimerCount()).toBe(1);
    await jest.advanceTimersByTimeAsync(500);
    expect(late).toEqual([
      [a, 100],
      [b, 140],
      [c, 140],
    ]);
    expect([a.isTimedOut, givenUp]).toEqual([true, []]);
  });

  it('gives each up 5 s later', async () => {
    const { givenUp, watch } = setUp();
    const a = watch();
    await jest.advanceTimersByTimeAsync(40);
    const b = watch();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(givenUp).toEqual([
      [a, 5_100],
      [b, 5_140],
    ]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('says nothing of a run that has ended, and goes on with the next', async () => {
    const { timeouts, late, watch } = setUp();
    const a = watch();
    await jest.advanceTimersByTimeAsync(60);
    const b = watch();
    timeouts.forget(a);
    await jest.advanceTimersByTimeAsync(99);
    expect(late).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(late).toEqual([[b, 160]]);
    expect(a.isTimedOut).toBe(false);
    timeouts.forget(b); // it may end after all
  });

  it('watches again after it had nothing to watch', async () => {
    const { late, watch } = setUp();
    watch();
    await jest.advanceTimersByTimeAsync(1_000);
    const b = watch();
    await jest.advanceTimersByTimeAsync(100);
    expect(late[1]).toEqual([b, 1_100]);
  });

  it('says nothing after a stop', async () => {
    const { timeouts, late, givenUp, watch } = setUp();
    watch();
    await jest.advanceTimersByTimeAsync(100);
    watch();
    timeouts.stop();
    await jest.advanceTimersByTimeAsync(10_000);
    expect([late.length, givenUp]).toEqual([1, []]);
    expect(jest.getTimerCount()).toBe(0);
  });
});
