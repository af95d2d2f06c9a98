import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RequestCancelledError, RequestTimeoutError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import { type RunningRequest, RunningRequests } from '../../../lib/rpc/running-requests.js';
import { createMessage } from '../../../lib/testing/contract/message.factory.js';
import { withFakeTimers } from '../support/fake-timers.js';

function aRequest(over: Partial<Message> = {}) {
  const reasons: unknown[] = [];
  return {
    reasons,
    request: {
      get aborted() {
        return reasons.length > 0;
      },
      abort: (reason: unknown) => void reasons.push(reason),
    },
    message: createMessage('orders.place', over),
  };
}

describe('running requests', () => {
  withFakeTimers();
  let running: RunningRequests;
  const begin = ({ request, message }: ReturnType<typeof aRequest>): RunningRequest => {
    const begun = running.enter(request, message);
    if (!begun) throw new Error('It does not run.');
    return begun;
  };
  beforeEach(() => {
    running = new RunningRequests();
  });

  it('are aborted soon after their time, each once it is over, and not when they have ended', () => {
    const now = Date.now();
    const early = aRequest({ requestId: 'early', timestamp: now, expiresAt: now + 100 });
    const late = aRequest({ requestId: 'late', timestamp: now, expiresAt: now + 500 });
    const ended = aRequest({ requestId: 'ended', timestamp: now, expiresAt: now + 100 });
    const [earlyRun, lateRun, endedRun] = [begin(early), begin(late), begin(ended)];
    running.leave(endedRun);
    jest.advanceTimersByTime(99);
    expect(early.reasons).toEqual([]);
    jest.advanceTimersByTime(51);
    expect(early.reasons[0]).toBeInstanceOf(RequestTimeoutError);
    expect(late.reasons).toEqual([]);
    running.leave(earlyRun);
    jest.advanceTimersByTime(400);
    expect(late.reasons[0]).toBeInstanceOf(RequestTimeoutError);
    expect([early.reasons.length, ended.reasons.length]).toEqual([1, 0]);
    running.leave(lateRun);
    jest.advanceTimersByTime(50);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('are told no duration: of when they were sent a broker keeps the second at most', () => {
    const now = Date.now();
    const one = aRequest({ requestId: 'one', timestamp: now - 900, expiresAt: now + 100 });
    running.enter(one.request, one.message);
    jest.advanceTimersByTime(150);
    expect(String(one.reasons[0])).toBe('RequestTimeoutError: "orders.place" was not answered in time.');
  });

  it('what has no deadline needs no timer, and can be cancelled', () => {
    const one = aRequest({ requestId: 'one' });
    expect(begin(one).id).toBe('one');
    expect(jest.getTimerCount()).toBe(0);
    running.cancel('one');
    expect(one.reasons[0]).toBeInstanceOf(RequestCancelledError);
  });

  it('what is over, or was cancelled before it came, does not run; it is forgotten with that', () => {
    const now = Date.now();
    const expired = aRequest({ requestId: 'expired', expiresAt: now });
    expect(running.enter(expired.request, expired.message)).toBeUndefined();
    const one = aRequest({ requestId: 'one' });
    running.cancel('one');
    expect(running.enter(one.request, one.message)).toBeUndefined();
    expect(begin(one).id).toBe('one');
  });

  it('is known by what its answer must carry back, else by its correlation id, else by its own', () => {
    const by = (message: Partial<Message>) =>
      running.enter(aRequest().request, createMessage('orders.place', message))?.id;
    expect(by({ id: 'i', correlationId: 'c', requestId: 'r' })).toBe('r');
    expect(by({ id: 'i', correlationId: 'c' })).toBe('c');
    expect(by({ id: 'i' })).toBe('i');
  });

  it('remembers what was cancelled for a minute', () => {
    const one = aRequest({ requestId: 'one' });
    running.cancel('one');
    jest.advanceTimersByTime(60_001);
    running.cancel('other'); // forgets what is old
    expect(begin(one).id).toBe('one');
  });

  it('remembers 10,000 at most, the latest', () => {
    for (let n = 0; n < 12_000; n++) running.cancel(`r-${n}`);
    const enter = (n: number) =>
      running.enter(aRequest().request, createMessage('orders.place', { requestId: `r-${n}` }))?.id;
    expect(enter(1_999)).toBe('r-1999');
    expect([enter(2_000), enter(11_999)]).toEqual([undefined, undefined]);
  });

  it('one that comes again while its lost run still goes on is watched on when that one ends', () => {
    const [lost, again] = [aRequest({ requestId: 'one' }), aRequest({ requestId: 'one' })];
    const lostRun = begin(lost);
    begin(again);
    running.leave(lostRun);
    running.leave(lostRun); // once is enough
    running.cancel('one');
    expect([lost.reasons.length, again.reasons.length]).toEqual([0, 1]);
  });

  it('stopped, nothing is watched', () => {
    const now = Date.now();
    const one = aRequest({ requestId: 'one', expiresAt: now + 10 });
    running.enter(one.request, one.message);
    running.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('those whose answer has begun are not aborted by their time, but can be cancelled', () => {
    const expiresAt = Date.now() + 30;
    const [waiting, begun] = [aRequest({ requestId: 'a', expiresAt }), aRequest({ requestId: 'b', expiresAt })];
    running.enter(waiting.request, waiting.message);
    begin(begun).hasBegun = true;
    jest.advanceTimersByTime(100);
    expect(waiting.reasons).toMatchObject([{ code: 'REQUEST_TIMEOUT' }]);
    expect(begun.reasons).toEqual([]);
    running.cancel('b');
    expect(begun.reasons).toMatchObject([{ code: 'REQUEST_CANCELLED' }]);
    running.stop();
  });

  it('one that was given up does not begin again', () => {
    const enter = (id: string, { request, message } = aRequest({ requestId: id })) => running.enter(request, message);
    const one = aRequest({ requestId: 'a' });
    running.giveUp(begin(one));
    expect(one.reasons).toEqual([]);
    expect(enter('a')).toBeUndefined();
    expect(enter('b')?.id).toBe('b');
  });

  it('one that was given up when it had come again already ends there too', () => {
    const [lost, again] = [aRequest({ requestId: 'a' }), aRequest({ requestId: 'a' })];
    const lostRun = begin(lost);
    begin(again);
    lostRun.hasBegun = true; // says nothing of the other one
    running.giveUp(lostRun);
    expect([lost.reasons.length, again.reasons]).toMatchObject([0, [{ code: 'REQUEST_CANCELLED' }]]);
  });

  it('of clients that give all their requests one id are aborted by their time, each of them', () => {
    const expiresAt = Date.now() + 30;
    const twins = [1, 2].map(() => aRequest({ correlationId: '1', expiresAt }));
    for (const { request, message } of twins) running.enter(request, message);
    jest.advanceTimersByTime(100);
    expect(twins.map(({ reasons }) => reasons.length)).toEqual([1, 1]);
    running.stop();
  });

  it('an id that is longer than any is not remembered: anybody may send some', () => {
    const id = 'x'.repeat(129);
    running.cancel(id);
    expect(running.enter(aRequest().request, createMessage('orders.place', { requestId: id }))?.id).toBe(id);
  });
});
