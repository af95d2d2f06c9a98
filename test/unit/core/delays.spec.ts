import { describe, expect, it, jest } from '@jest/globals';
import { sooner, TIMERS } from '../../../lib/core/delays.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aMessage } from '../support/message.js';

const WHAT = { group: 'mail', attempt: 2, message: aMessage() };

describe('timers', () => {
  withFakeTimers();

  it('call when the time has come, and never early', async () => {
    const run = jest.fn();
    TIMERS.later(WHAT, 10, run);
    await jest.advanceTimersByTimeAsync(9);
    expect(run).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(run.mock.calls).toEqual([[0]]);
  });

  it('can be taken back', () => {
    TIMERS.later(WHAT, 10, jest.fn())();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a message whose time is skipped', () => {
  it('is due earlier, and expires earlier', () => {
    const message = aMessage({ dueAt: 70, expiresAt: 90 });
    expect(sooner(message, 20)).toEqual({ ...message, dueAt: 50, expiresAt: 70 });
    expect(Object.isFrozen(sooner(message, 20))).toBe(true);
    expect(sooner(aMessage({ dueAt: 70 }), 20)).toEqual(aMessage({ dueAt: 50 }));
    expect(sooner(aMessage({ expiresAt: 90 }), 20)).toEqual(aMessage({ expiresAt: 70 }));
  });

  it('is the same one when that changes nothing', () => {
    const message = aMessage({ dueAt: 70 });
    expect(sooner(message, 0)).toBe(message);
    expect(sooner(WHAT.message, 20)).toBe(WHAT.message);
  });
});
