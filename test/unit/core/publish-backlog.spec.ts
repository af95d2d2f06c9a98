import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { BusClosedError, PublishRejectedError, PublishTimeoutError } from '../../../lib/core/errors.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import type { Message } from '../../../lib/core/message.js';
import { type Outgoing, PublishBacklog } from '../../../lib/core/publish-backlog.js';

const ROUTED = { routed: true };

function message(id: string, bytes = 10): Message {
  return { id, type: '', topic: 't', contentType: '', headers: NO_HEADERS, body: Buffer.alloc(bytes), timestamp: 0 };
}

function setUp(options: Partial<ConstructorParameters<typeof PublishBacklog>[0]> = {}) {
  const sent = new Set<Outgoing<string>>();
  const givenUp: string[] = [];
  const backlog = new PublishBacklog<string>(
    { timeoutMs: 1_000, messages: 2, bytes: 100, onFull: 'reject', ...options },
    sent,
    (outgoing) => new PublishTimeoutError(outgoing.message.topic, outgoing.timeoutMs, outgoing.sent),
    (outgoing) => givenUp.push(outgoing.message.id),
  );
  const outcomes: string[] = [];
  const add = (id: string, bytes?: number, room = 0, more = {}): void => {
    backlog.add('x', message(id, bytes), more, room).then(
      () => outcomes.push(`${id} ok`),
      (error: Error) => outcomes.push(`${id} ${error.name}`),
    );
  };
  return { backlog, sent, outcomes, givenUp, add, settled: () => jest.advanceTimersByTimeAsync(0) };
}

describe('PublishBacklog', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('a publish that is taken back is told of nowhere, and does not count', async () => {
    const { backlog, givenUp } = setUp();
    const failures: unknown[] = [];
    const outgoing = backlog.track('x', message('a'), 1_000, (error) => failures.push(error));
    expect([backlog.pending, backlog.size]).toEqual([1, 0]);
    backlog.putBack([outgoing]);
    outgoing.discard();
    expect([backlog.pending, backlog.shift(), backlog.bytes]).toEqual([0, undefined, 0]);
    await jest.advanceTimersByTimeAsync(2_000);
    expect([failures, givenUp]).toEqual([[], []]);
  });

  it('gives back in order what it took in', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    add('a');
    add('b');
    expect([backlog.shift()?.message.id, backlog.shift()?.message.id, backlog.shift()]).toEqual(['a', 'b', undefined]);
    expect(backlog.pending).toBe(2);
    await settled();
    expect(outcomes).toEqual([]);
  });

  it('refuses what is beyond the number or the bytes, but never what could be sent right away', async () => {
    const { outcomes, add, settled } = setUp();
    add('a', 1, 1);
    add('b', 40, 1);
    add('c', 60, 1); // one waits in the room, so this is the second of two: but 101 bytes
    add('d', 1, 1);
    add('e', 1, 1);
    add('f', 1, 9);
    await settled();
    expect(outcomes).toEqual(['c PublishRejectedError', 'e PublishRejectedError']);
  });

  it('needs no options', () => {
    const { backlog } = setUp();
    void backlog.add('x', message('a'), undefined, 1);
    void backlog.add('x', message('b', 500), undefined, 2); // more than the bytes, but there is room
    expect([backlog.shift(), backlog.shift()].map((o) => o?.timeoutMs)).toEqual([1_000, 1_000]);
  });

  it('lets wait whoever asks for it', async () => {
    const { backlog, outcomes, add, settled } = setUp({ messages: 0 });
    add('a', 10, 0, { onFull: 'wait' });
    add('b');
    await settled();
    expect(outcomes).toEqual(['b PublishRejectedError']);
    expect(backlog.size).toBe(1);
  });

  it('rejects at the deadline what waits and what was sent, and frees its room', async () => {
    const { backlog, sent, outcomes, add, settled } = setUp();
    add('a');
    add('b', 10, 0, { timeoutMs: 5_000 });
    const first = backlog.shift();
    if (first) sent.add(first);
    add('c');
    await jest.advanceTimersByTimeAsync(1_200);
    expect(outcomes).toEqual(['a PublishTimeoutError', 'c PublishTimeoutError']);
    expect([backlog.size, backlog.bytes, backlog.pending]).toEqual([1, 10, 1]);
    first?.resolve(ROUTED); // the late confirm
    await settled();
    expect(outcomes).toHaveLength(2);
  });

  it('puts back before everything else, in order, without what has its answer', async () => {
    const { backlog, outcomes, add, settled } = setUp({ messages: 9 });
    for (const id of ['a', 'b', 'c', 'd']) add(id);
    const taken = [backlog.shift(), backlog.shift(), backlog.shift()].filter((o) => o !== undefined);
    taken[1]?.resolve(ROUTED);
    backlog.putBack(taken);
    expect([backlog.size, backlog.bytes]).toEqual([3, 30]);
    expect([backlog.shift(), backlog.shift(), backlog.shift()].map((o) => o?.message.id)).toEqual(['a', 'c', 'd']);
    await settled();
    expect(outcomes).toEqual(['b ok']);
  });

  it('an abort rejects with its reason and leaves no listener', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    const abort = new AbortController();
    const removed = jest.spyOn(abort.signal, 'removeEventListener');
    add('a', 10, 0, { signal: abort.signal });
    abort.abort(new RangeError('enough'));
    await settled();
    expect(outcomes).toEqual(['a RangeError']);
    expect(removed).toHaveBeenCalledTimes(1);
    expect(backlog.shift()).toBeUndefined();
  });

  it('close rejects all that is left, and stops its timer', async () => {
    const { backlog, sent, outcomes, add, settled } = setUp();
    add('a');
    add('b');
    const first = backlog.shift();
    if (first) sent.add(first);
    backlog.close(() => new BusClosedError('publish'));
    add('c');
    await settled();
    expect(outcomes.sort()).toEqual(['a BusClosedError', 'b BusClosedError', 'c BusClosedError']);
    expect(jest.getTimerCount()).toBe(0);
    expect([backlog.size, backlog.bytes, backlog.pending]).toEqual([0, 0, 0]);
  });

  it('runs no timer while nothing is pending', async () => {
    const { backlog, add } = setUp();
    add('a');
    backlog.shift()?.resolve(ROUTED);
    await jest.advanceTimersByTimeAsync(300);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('names its bound in the error', async () => {
    const { backlog } = setUp({ messages: 0 });
    await expect(backlog.add('x', message('a'), undefined, 0)).rejects.toMatchObject({
      constructor: PublishRejectedError,
      code: 'BUFFER_FULL',
      retryable: true,
      message: expect.stringMatching(/0 messages, 100 bytes/),
    });
  });

  it('keeps the numbers right when the room is full of bytes, and measures to the last byte', async () => {
    const { backlog, outcomes, add, settled } = setUp({ messages: 9 });
    add('a', 60);
    add('b', 41);
    add('c', 40);
    await settled();
    expect(outcomes).toEqual(['b PublishRejectedError']);
    expect([backlog.size, backlog.bytes, backlog.pending]).toEqual([2, 100, 2]);
    backlog.shift();
    expect([backlog.size, backlog.bytes, backlog.pending]).toEqual([1, 40, 2]);
  });

  it('gives the room back of what was put back', () => {
    const { backlog, add } = setUp();
    add('a', 30);
    const first = backlog.shift();
    expect(backlog.bytes).toBe(0);
    if (!first) throw new Error('Nothing to send.');
    first.returned = { code: 312, text: 'NO_ROUTE' };
    backlog.putBack([first]);
    expect([backlog.size, backlog.bytes, first.returned]).toEqual([1, 30, undefined]);
  });

  it('refuses an abort that came before it, with its reason, and takes nothing in', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    add('a', 10, 0, { signal: AbortSignal.abort(new RangeError('enough')) });
    await settled();
    expect(outcomes).toEqual(['a RangeError']);
    expect([backlog.pending, jest.getTimerCount()]).toEqual([0, 0]);
  });

  it('a late abort changes nothing', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    const abort = new AbortController();
    add('a', 10, 0, { signal: abort.signal });
    backlog.shift()?.resolve(ROUTED);
    abort.abort(new RangeError('enough'));
    await settled();
    expect(outcomes).toEqual(['a ok']);
    expect(backlog.pending).toBe(0);
  });

  it('knows when a publish has its answer, and gives the first one', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    add('a');
    const first = backlog.shift();
    expect(first).toMatchObject({
      target: 'x',
      settled: false,
      sent: false,
      returned: undefined,
      isSuspect: false,
      timeoutMs: 1_000,
    });
    first?.reject(new RangeError('nack'));
    first?.resolve(ROUTED);
    expect(first?.settled).toBe(true);
    await settled();
    expect(outcomes).toEqual(['a RangeError']);
    expect(backlog.pending).toBe(0);
  });

  it('rejects at the deadline, looked at ten times a second, not before', async () => {
    const { outcomes, add } = setUp({ timeoutMs: 300 });
    add('a');
    await jest.advanceTimersByTimeAsync(299);
    expect(outcomes).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(outcomes).toEqual(['a PublishTimeoutError']);
  });

  it('tells of what was sent and is not waited for any longer, whatever ended it', async () => {
    const { backlog, sent, givenUp, outcomes, add } = setUp({ messages: 9 });
    const abort = new AbortController();
    add('times out');
    add('is aborted', 1, 0, { signal: abort.signal, timeoutMs: 9_000 });
    add('goes on', 1, 0, { timeoutMs: 9_000 });
    for (let i = 0; i < 3; i++) {
      const outgoing = backlog.shift();
      if (outgoing) sent.add(outgoing);
    }
    add('never sent');
    abort.abort(new RangeError('enough'));
    await jest.advanceTimersByTimeAsync(1_000);
    expect(new Set(givenUp)).toEqual(new Set(['times out', 'is aborted']));
    expect(outcomes).toHaveLength(3);
  });

  it('watches again after it had nothing to watch', async () => {
    const { outcomes, add, backlog } = setUp({ timeoutMs: 200 });
    add('a');
    backlog.shift()?.resolve(ROUTED);
    await jest.advanceTimersByTimeAsync(300);
    add('b');
    add('c');
    expect(jest.getTimerCount()).toBe(1);
    await jest.advanceTimersByTimeAsync(300);
    expect(outcomes).toEqual(['a ok', 'b PublishTimeoutError', 'c PublishTimeoutError']);
  });

  it('shows the next one that waits, without what has its answer, and leaves it there', () => {
    const { backlog, add } = setUp({ messages: 9 });
    const abort = new AbortController();
    expect(backlog.peek()).toBeUndefined();
    add('a', 10, 0, { signal: abort.signal });
    add('b', 10, 0, { signal: abort.signal });
    add('c', 7);
    expect(backlog.peek()?.message.id).toBe('a');
    expect([backlog.size, backlog.bytes]).toEqual([3, 27]);
    abort.abort(new RangeError('enough'));
    expect(backlog.peek()?.message.id).toBe('c');
    expect([backlog.size, backlog.bytes]).toEqual([1, 7]);
    expect(backlog.shift()?.message.id).toBe('c');
    expect(backlog.peek()).toBeUndefined();
  });

  it('stop refuses what is new and keeps what it has', async () => {
    const { backlog, outcomes, add, settled } = setUp();
    add('a');
    backlog.stop();
    add('b');
    await settled();
    expect(outcomes).toEqual(['b BusClosedError']);
    backlog.shift()?.resolve(ROUTED);
    await settled();
    expect(outcomes).toEqual(['b BusClosedError', 'a ok']);
    await expect(backlog.add('x', message('c'), undefined, 9)).rejects.toThrow('publish');
  });

  it('rejectAll rejects what it has, frees its room, and goes on', async () => {
    const { backlog, sent, outcomes, add, settled } = setUp();
    add('a');
    const first = backlog.shift();
    if (first) sent.add(first);
    add('b');
    backlog.rejectAll(() => new RangeError('conflict'));
    add('c');
    await settled();
    expect(outcomes).toEqual(['a RangeError', 'b RangeError']);
    expect([backlog.size, backlog.bytes, backlog.pending]).toEqual([1, 10, 1]);
  });

  it('rejects each of the rest with an error of its own, by whether it was sent', async () => {
    const { backlog, sent, settled } = setUp();
    const errors: unknown[] = [];
    for (const id of ['a', 'b']) {
      backlog.add('x', message(id), undefined, 0).catch((error: unknown) => errors.push(error));
    }
    const first = backlog.shift();
    if (first) {
      first.sent = true;
      sent.add(first);
    }
    backlog.close((outgoing) => new BusClosedError('publish', outgoing.sent));
    await settled();
    expect(errors).toEqual([
      expect.objectContaining({ sent: true, message: expect.stringContaining('outcome is unknown') }),
      expect.objectContaining({ sent: false, message: 'Cannot publish: the event bus is closed.' }),
    ]);
    expect(backlog.pending).toBe(0);
  });

  describe('settle', () => {
    async function settling(ms: number, act: (made: ReturnType<typeof setUp>) => void) {
      const made = setUp();
      made.add('a');
      const seen = { after: Number.NaN };
      const begin = Date.now();
      void made.backlog.settle(ms).then(() => {
        seen.after = Date.now() - begin;
      });
      setTimeout(() => act(made), 45);
      await jest.advanceTimersByTimeAsync(2_000);
      return seen.after;
    }

    it('resolves soon after the last one has its answer', async () => {
      const after = await settling(900, ({ backlog }) => backlog.shift()?.resolve(ROUTED));
      expect(after).toBeGreaterThanOrEqual(45);
      expect(after).toBeLessThanOrEqual(55);
    });

    it.each([105, 3])('resolves after %d ms when there is no answer', async (ms) => {
      expect(await settling(ms, () => undefined)).toBe(ms);
    });

    it('resolves at once when nothing is pending', async () => {
      await setUp().backlog.settle(60_000);
      expect(jest.getTimerCount()).toBe(0);
    });
  });
});
