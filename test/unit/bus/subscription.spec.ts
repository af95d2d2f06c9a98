import { describe, expect, it, jest } from '@jest/globals';
import { BusSubscription } from '../../../lib/bus/subscription.js';
import type { Consumer } from '../../../lib/core/transport.js';
import { deferred } from '../support/deferred.js';

function setUp(...states: Consumer['state'][]) {
  const consumers = states.map((state) => ({
    state,
    pause: jest.fn(async () => undefined),
    resume: jest.fn(async () => undefined),
    close: async () => undefined,
  }));
  const end = deferred();
  const onCancel = jest.fn(() => end.promise);
  return { consumers, end, onCancel, subscription: new BusSubscription('s-1', 'a.*', 'mail', consumers, onCancel) };
}

describe('BusSubscription', () => {
  it.each([
    ['running', 'active'],
    ['paused', 'paused'],
    ['recovering', 'recovering'],
    ['closed', 'cancelled'],
  ] as const)('of a consumer that is %s is %s', (state, expected) => {
    expect(setUp(state).subscription.state).toBe(expected);
  });

  it('without a consumer is cancelled', () => {
    expect(setUp().subscription.state).toBe('cancelled');
  });

  it('pauses and resumes all its consumers', async () => {
    const { consumers, subscription } = setUp('running', 'running');
    await subscription.pause();
    expect(consumers.map(({ pause, resume }) => [pause.mock.calls.length, resume.mock.calls.length])).toEqual([
      [1, 0],
      [1, 0],
    ]);
    await subscription.resume();
    expect(consumers.map(({ resume }) => resume.mock.calls.length)).toEqual([1, 1]);
  });

  it('is cancelled from the call on, once, and waits for the end', async () => {
    const { subscription, onCancel, end } = setUp('running');
    let isDone = false;
    const all = Promise.all([subscription.cancel(), subscription.cancel()]).then(() => {
      isDone = true;
    });
    expect(subscription.state).toBe('cancelled');
    await Promise.resolve();
    expect(isDone).toBe(false);
    end.resolve();
    await all;
    expect(onCancel).toHaveBeenCalledTimes(1);
  });

  it('shows what it was made of', () => {
    const { subscription } = setUp('running');
    expect(subscription).toMatchObject({ id: 's-1', pattern: 'a.*', group: 'mail', createdAt: expect.any(Date) });
  });
});
