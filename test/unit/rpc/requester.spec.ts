import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import type { Message } from '../../../lib/core/message.js';
import type { Routed } from '../../../lib/core/transport.js';
import { Requester } from '../../../lib/rpc/requester.js';
import { REPLY, type Reply } from '../../../lib/rpc/rpc.wire.js';
import { until } from '../../../lib/testing/contract/until.js';
import { deferred, settled } from '../support/deferred.js';
import { encoder, ReplyLine, serializer } from '../support/reply-line.js';

function start(timeoutMs = 1_000) {
  const line = new ReplyLine();
  const requester = new Requester({ transport: line, encoder, decoder: new MessageDecoder([serializer]), timeoutMs });
  const ask = (payload: unknown) => {
    const replies: Reply[] = [];
    const errors: unknown[] = [];
    const id = requester.open(
      { topic: 'orders.place', target: { kind: 'group', group: 'events.command.orders.place' }, payload },
      { onReply: (reply) => replies.push(reply), onError: (error) => errors.push(error) },
    );
    return { replies, errors, stop: () => requester.abandon(id) };
  };
  const sent = async (count: number) => {
    await until('it is sent', () => line.requests.length === count);
    return line.requests.at(-1)?.message as Message;
  };
  return { line, requester, ask, sent };
}

describe('a requester', () => {
  it('sends to the queue of the command, with the way back and the time by which it must be started', async () => {
    const { line, ask, sent, requester } = start();
    ask({ n: 1 });
    const before = Date.now();
    const message = await sent(1);
    expect(line.requests[0]?.target).toEqual({ kind: 'group', group: 'events.command.orders.place' });
    expect(message).toMatchObject({
      topic: 'orders.place',
      replyTo: 'back',
      requestId: message.id,
      source: 'shop',
    });
    expect(Math.abs((message.expiresAt ?? 0) - before - 1_000)).toBeLessThan(500);
    await requester.close();
  });

  it('gives each answer to its request, and nothing after the last one', async () => {
    const { line, ask, sent, requester } = start();
    const a = ask('a');
    const b = ask('b');
    await sent(2);
    const [first, second] = line.requests.map(({ message }) => message.id);
    line.answer(second, REPLY.value, 'to b');
    line.answer(first, REPLY.part, 'to a');
    line.answer('somebody else', REPLY.value, 'to nobody');
    line.answer(first, 'something.else', 'no answer');
    line.answer(first, REPLY.end, null);
    line.answer(first, REPLY.value, 'too late');
    expect(a).toMatchObject({ replies: [{ kind: 'part', value: 'to a' }, { kind: 'end' }], errors: [] });
    expect(b).toMatchObject({ replies: [{ kind: 'value', value: 'to b' }], errors: [] });
    expect(requester.size).toBe(0);
    expect(line.opened).toBe(1);
    await requester.close();
  });

  it('what it takes to open the way back is part of its time', async () => {
    const { line, ask, sent, requester } = start(10_000);
    const open = deferred();
    line.opening = () => open.promise;
    const before = Date.now();
    ask('a');
    await pause(60);
    open.resolve();
    const { expiresAt = 0 } = await sent(1);
    expect(expiresAt - before).toBeGreaterThanOrEqual(10_000);
    expect(expiresAt - before).toBeLessThan(10_050);
    await requester.close();
  });

  it('a queue that does not exist: NoHandlerError', async () => {
    const { line, ask, requester } = start();
    line.sending = async () => ({ routed: false });
    const { errors } = ask('a');
    await until('it failed', () => errors.length === 1);
    expect(errors).toMatchObject([{ code: 'NO_HANDLER' }]);
    expect(requester.size).toBe(0);
    await requester.close();
  });

  it('an answer that comes before the confirm counts, whatever becomes of the confirm', async () => {
    const { line, ask, sent, requester } = start();
    const confirms = [deferred<Routed>(), deferred<Routed>(), deferred<Routed>()];
    const asked = confirms.map((confirm) => {
      line.sending = () => confirm.promise;
      return ask('a');
    });
    await sent(3);
    for (const { message } of line.requests) line.answer(message.id, REPLY.value, 'at once');
    expect(requester.size).toBe(0);
    confirms[0]?.resolve({ routed: true });
    confirms[1]?.resolve({ routed: false });
    confirms[2]?.reject(new Error('as asked'));
    await settled();
    for (const one of asked) expect(one).toMatchObject({ replies: [{ kind: 'value', value: 'at once' }], errors: [] });
    await requester.close();
  });

  it('no answer in time: RequestTimeoutError; each part begins the time anew', async () => {
    const { line, ask, sent, requester } = start(120);
    const { errors, replies } = ask('a');
    const { id } = await sent(1);
    for (let part = 0; part < 3; part++) {
      await new Promise((resolve) => setTimeout(resolve, 70));
      line.answer(id, REPLY.part, part);
    }
    expect(errors).toEqual([]);
    await until('its time is up', () => errors.length === 1);
    expect(errors).toMatchObject([{ code: 'REQUEST_TIMEOUT' }]);
    expect(replies).toHaveLength(3);
    await requester.close();
  });

  it('the connection is lost: at once; what is asked afterwards waits', async () => {
    const { line, ask, sent, requester } = start();
    const before = ask('a');
    await sent(1);
    line.become('down');
    expect(before.errors).toMatchObject([{ code: 'CONNECTION', retryable: true }]);
    const after = ask('b');
    line.become('connecting');
    line.become('up');
    const { id } = await sent(2);
    line.answer(id, REPLY.value, 'b');
    expect(after).toMatchObject({ replies: [{ kind: 'value', value: 'b' }], errors: [] });
    await requester.close();
  });

  it('the channel of the answers is lost: what waits errors, what is asked afterwards does not', async () => {
    const { line, ask, sent, requester } = start();
    const before = ask('a');
    await sent(1);
    expect(line.replyOptions.isAwaited?.()).toBe(true);
    line.replyOptions.onLost?.();
    const after = ask('b');
    await until('it is told', () => before.errors.length === 1);
    expect(before.errors).toMatchObject([{ code: 'CONNECTION', retryable: true }]);
    const { id } = await sent(2);
    line.answer(id, REPLY.value, 'b');
    expect(after).toMatchObject({ replies: [{ kind: 'value', value: 'b' }], errors: [] });
    expect(line.replyOptions.isAwaited?.()).toBe(false);
    await requester.close();
  });

  it('a part that comes twice is one', async () => {
    const { line, ask, sent, requester } = start();
    const { replies } = ask('a');
    const { id } = await sent(1);
    const { onReply } = line as unknown as { onReply: (message: Message) => void };
    const parts = [1, 2].map((n) => encoder.encode('back', n, { correlationId: id, type: REPLY.part }));
    for (const part of parts) for (let times = 0; times < 2; times++) onReply(part);
    line.answer(id, REPLY.end, null);
    expect(replies.map(({ value }) => value)).toEqual([1, 2, undefined]);
    await requester.close();
  });

  it('closed while the way back is being opened: it does not wait for it, and what opens late is closed', async () => {
    const { line, ask, requester } = start();
    let open: (() => void) | undefined;
    line.opening = () =>
      new Promise((resolve) => {
        open = resolve;
      });
    const { errors } = ask('a');
    await requester.close();
    expect(errors).toMatchObject([{ code: 'BUS_CLOSED' }]);
    expect(line.replyOptions.signal?.aborted).toBe(true);
    open?.();
    await until('it is closed', () => line.closedPaths === 1);
  });

  it('the way back cannot be opened: that request fails, the next one tries again', async () => {
    const { line, ask, sent, requester } = start();
    line.opening = async () => {
      throw new Error('as asked');
    };
    const { errors } = ask('a');
    await until('it failed', () => errors.length === 1);
    line.opening = async () => undefined;
    ask('b');
    await sent(1);
    expect(line.opened).toBe(2);
    await requester.close();
  });

  it('given up: nothing is told, nothing is kept', async () => {
    const { line, ask, sent, requester } = start();
    const { stop, errors, replies } = ask('a');
    const { id } = await sent(1);
    stop();
    expect(requester.size).toBe(0);
    line.answer(id, REPLY.value, 'too late');
    expect([errors, replies]).toEqual([[], []]);
    await requester.close();
  });

  it('an answer that cannot be read is an error; one that is closed rejects what waits and what comes', async () => {
    const { line, ask, sent, requester } = start();
    const unread = ask('a');
    const { id } = await sent(1);
    const message = encoder.encode('back', 'x', { correlationId: id, type: REPLY.value });
    const { onReply } = line as unknown as { onReply: (message: Message) => void };
    onReply({ ...message, body: Buffer.from('{') });
    expect(unread.errors).toMatchObject([{ code: 'UNDECODABLE' }]);
    const waiting = ask('b');
    await sent(2);
    await requester.close();
    expect(waiting.errors).toMatchObject([{ code: 'BUS_CLOSED' }]);
    expect(ask('c').errors).toMatchObject([{ code: 'BUS_CLOSED' }]);
    expect(line.closedPaths).toBe(1);
  });
});
