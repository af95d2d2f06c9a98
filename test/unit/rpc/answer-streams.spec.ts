import { describe, expect, it } from '@jest/globals';
import { Observable, of, Subject } from 'rxjs';
import type { HandlerContext } from '../../../lib/bus/event-context.js';
import { type HandlerValues, readerOf } from '../../../lib/bus/handler-values.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { LazySignal } from '../../../lib/core/delivery.js';
import { PublishRejectedError } from '../../../lib/core/errors.js';
import { LIMITS } from '../../../lib/core/limits.js';
import type { Message } from '../../../lib/core/message.js';
import { AnswerStreams } from '../../../lib/rpc/answer-streams.js';
import { Replier } from '../../../lib/rpc/replier.js';
import { SIGNAL } from '../../../lib/rpc/rpc.wire.js';
import { until } from '../../../lib/testing/contract/until.js';
import { RecordingLogger } from '../support/recording.logger.js';
import { encoder, ReplyLine, serializer } from '../support/reply-line.js';

const options = resolveOptions({ service: 'shop', publish: { timeoutMs: 1_000, maxMessageBytes: 1_000 } });

/** Counts, and writes down how far it came. */
function counter(to = Number.POSITIVE_INFINITY) {
  const told = { asked: 0, ended: 0 };
  async function* count() {
    try {
      for (let n = 0; n < to; n++) {
        told.asked++;
        yield n;
      }
    } finally {
      told.ended++;
    }
  }
  return { told, values: count() };
}

function start({ beatMs = 60_000 } = {}) {
  const line = new ReplyLine();
  const logger = new RecordingLogger();
  const replier = new Replier({ transport: line, serializer, options, logger });
  const streams = new AnswerStreams({ transport: line, beatMs });
  const open = (values: HandlerValues, over: Partial<Message> = {}) => {
    const request: Message = {
      ...encoder.encode('rows', 1, { id: 'm-1', requestId: 'r-1', replyTo: 'asker', credit: 3 }),
      ...over,
    };
    const life = new LazySignal();
    const context = {
      get signal() {
        return life.signal;
      },
      abort: (reason: unknown) => life.abort(reason),
      beginAnswer: () => undefined,
    } as HandlerContext;
    const answers = replier.open(request);
    const stream = streams.open({ request, answers, values: readerOf(values), context });
    const done = stream.run();
    done.catch(() => undefined); // looked at later
    return { stream, done, context, answers };
  };
  const parts = () => line.requests.map(({ message }) => message);
  const signal = (type: string, payload: unknown, over: Partial<Message> = {}) =>
    line.answer('r-1', type, payload, over);
  return { line, streams, open, parts, signal, logger };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('answers that come in parts', () => {
  it('are numbered, say where to talk to, and are as many as were granted: the handler is asked for no more', async () => {
    const { line, open, parts, signal, streams } = start();
    const { told, values } = counter();
    const { stream, context } = open(values);
    await until('they are sent', () => parts().length === 3);
    await settled();
    expect(told.asked).toBe(3);
    expect(line.requests[0]?.target).toEqual({ kind: 'reply', address: 'asker' });
    expect(parts()).toMatchObject(
      [0, 1, 2].map((n) => ({ id: `r-1.${n}`, type: 'reply.part', correlationId: 'r-1', replyTo: 'back' })),
    );
    signal(SIGNAL.more, 5);
    await until('there are more', () => parts().length === 5);
    signal(SIGNAL.more, 4); // an older one
    await settled();
    expect(told.asked).toBe(5);
    context.abort(new Error('enough'));
    await stream.close();
    await streams.close();
    expect([told.ended, streams.size, line.closedPaths]).toEqual([1, 0, 1]);
  });

  it('do not wait for each other to be confirmed; the last answer does', async () => {
    const { line, open, parts, streams } = start();
    const confirms: (() => void)[] = [];
    line.sending = () => new Promise((resolve) => confirms.push(() => resolve({ routed: true })));
    const { done, stream } = open(counter(3).values, { credit: 4 });
    await until('all are sent', () => parts().length === 3);
    let isDone = false;
    void done.then(() => {
      isDone = true;
    });
    await settled();
    expect(isDone).toBe(false);
    for (const confirm of confirms) confirm();
    expect(await done).toBeUndefined();
    await stream.close();
    await streams.close();
  });

  it('one that the broker refuses ends them for both sides', async () => {
    const { line, open, parts, streams, logger } = start();
    const { told, values } = counter();
    line.sending = async () => {
      if (parts().length === 2) throw new PublishRejectedError('The broker refused it.');
      return { routed: true };
    };
    const { done, stream, context } = open(values);
    await expect(done).rejects.toMatchObject({ code: 'CONNECTION' });
    await stream.close();
    expect(context.signal.aborted).toBe(true);
    expect(told.ended).toBe(1);
    await until('the other side is told', () => parts().some(({ type }) => type === 'reply.error'));
    expect(logger.lines).toEqual([expect.stringContaining('(PUBLISH_REJECTED)')]);
    await streams.close();
  });

  it('one that cannot be written ends them for both sides', async () => {
    const { open, parts, streams } = start();
    async function* values() {
      yield 1;
      yield 1n;
      yield 2;
    }
    const { done, stream } = open(values());
    await expect(done).rejects.toMatchObject({ code: 'CONNECTION' });
    await stream.close();
    expect(parts().map(({ type }) => type)).toEqual(['reply.part', 'reply.error']);
    await streams.close();
  });

  it('cancelled, even while the handler waits: at once, and nothing more is told', async () => {
    const { open, parts, signal, streams, line } = start();
    let isLeft = false;
    const source = new Subject<number>();
    const values = new Observable<number>((subscriber) => {
      const subscription = source.subscribe(subscriber);
      return () => {
        isLeft = true;
        subscription.unsubscribe();
      };
    });
    const { done, stream, answers, context } = open(values);
    source.next(1);
    await until('it has begun', () => parts().length === 1);
    signal(SIGNAL.cancel, null);
    await expect(done).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' });
    await stream.close();
    expect(isLeft).toBe(true);
    expect(context.signal.aborted).toBe(true);
    expect(await answers.send({ kind: 'error', value: 'nobody reads it' })).toBe(false);
    expect([parts().length, line.sent.length, streams.size]).toEqual([1, 0, 0]);
    await streams.close();
  });

  it('the requester is not heard of any more: they end; a word of it keeps them', async () => {
    const { open, parts, signal, streams } = start({ beatMs: 20 });
    const { told, values } = counter();
    const { done, stream } = open(values);
    await until('it has begun', () => parts().length === 3);
    for (let n = 0; n < 12; n++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      signal(SIGNAL.more, 3);
    }
    expect(told).toEqual({ asked: 3, ended: 0 });
    await expect(done).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' });
    await stream.close();
    expect(told.ended).toBe(1);
    await streams.close();
  });

  it('the way back is lost: what has begun ends, what has not goes on', async () => {
    const { line, open, parts, streams } = start();
    const begun = open(counter().values);
    await until('it has begun', () => parts().length === 3);
    const source = new Subject<number>();
    const waiting = open(source, { requestId: 'r-2' });
    line.replyOptions.onLost?.();
    await expect(begun.done).rejects.toMatchObject({ code: 'CONNECTION' });
    await begun.stream.close();
    source.next(1);
    await until('the other one begins', () => parts().at(-1)?.correlationId === 'r-2');
    expect(line.replyOptions.isAwaited?.()).toBe(true);
    source.complete();
    await waiting.done;
    await waiting.stream.close();
    expect(line.replyOptions.isAwaited?.()).toBe(false);
    await streams.close();
  });

  it('forged signals are harmless: unknown, huge, negative, no number, no JSON, of nothing that is known', async () => {
    const { line, open, parts, signal, streams } = start();
    const { told, values } = counter();
    const { stream, context } = open(values);
    await until('it has begun', () => parts().length === 3);
    line.answer('somebody else', SIGNAL.cancel, null);
    line.answer('somebody else', SIGNAL.more, 100);
    signal('request.explode', 100);
    for (const payload of [-1, 1.5, 1e300, '100', null, { n: 100 }, [100]]) signal(SIGNAL.more, payload);
    for (const body of ['', '{', '\u0000', '9'.repeat(16), '0x64', ' 100'])
      signal(SIGNAL.more, 0, { body: Buffer.from(body) });
    await settled();
    expect([told.asked, context.signal.aborted]).toEqual([3, false]);
    signal(SIGNAL.more, 999_999_999_999_999);
    await until('there are as many as may be', () => told.asked >= 3 + LIMITS.streamCredit);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(told.asked).toBe(3 + LIMITS.streamCredit);
    context.abort(new Error('enough'));
    await stream.close();
    await streams.close();
  });

  it('a single value of an Observable is one answer, for which no way back is opened; undefined is no value', async () => {
    const { line, open, streams } = start();
    const single = open(of(undefined, 'one', undefined));
    expect(await single.done).toBe('one');
    await single.stream.close();
    expect([line.opened, line.requests.length]).toEqual([0, 0]);
    await streams.close();
  });

  it('the way back cannot be opened: the handler is ended with that error', async () => {
    const { line, open, streams } = start();
    line.opening = async () => {
      throw new Error('as asked');
    };
    const { told, values } = counter();
    const { done, stream } = open(values);
    await expect(done).rejects.toThrow('as asked');
    await stream.close();
    expect([told.ended, streams.size]).toEqual([1, 0]);
    await streams.close();
  });

  it('a handler that fails while it is told to stop is said, and no more', async () => {
    const { open, parts, signal, streams, logger } = start();
    const values: AsyncIterator<unknown> & AsyncIterable<unknown> = {
      [Symbol.asyncIterator]: () => values,
      next: async () => ({ done: false, value: 1 }),
      return: async () => {
        throw new Error('in finally');
      },
    };
    const { done, stream } = open(values);
    await until('it has begun', () => parts().length === 3);
    signal(SIGNAL.cancel, null);
    await expect(done).rejects.toMatchObject({ code: 'REQUEST_CANCELLED' });
    await stream.close();
    expect(logger.lines).toEqual([expect.stringContaining('in finally')]);
    await streams.close();
  });
});
