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
  const backlog = new PublishBacklog<string>(
    { timeoutMs: 1_000, messages: 2, bytes: 100, onFull: 'reject', ...options },
    sent,
    (outgoing) => new PublishTimeoutError(outgoing.message.topic, outgoing.timeoutMs, outgoing.sent),
  );
  const outcomes: string[] = [];
  const add = (id: string, bytes?: number, room = 0, more = {}): void => {
    backlog.add('x', message(id, bytes), more, room).then(
      () => outcomes.push(`${id} ok`),
      (error: Error) => outcomes.push(`${id} ${error.name}`),
    );
  };
  return { backlog, sent, outcomes, add, settled: () => jest.advanceTimersByTimeAsync(0) };
}

describe('PublishBacklog', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

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
    backlog.close(new BusClosedError('publish'));
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
    });
  });
});
