import { describe, expect, it } from '@jest/globals';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import type { Message } from '../../../lib/core/message.js';
import { Requester } from '../../../lib/rpc/requester.js';
import { partId, REPLY, type Reply } from '../../../lib/rpc/rpc.wire.js';
import { until } from '../../../lib/testing/contract/until.js';
import { encoder, ReplyLine, serializer } from '../support/reply-line.js';

function start({ timeoutMs = 1_000, window = 4, beatMs = 60_000 } = {}) {
  const line = new ReplyLine();
  const abandoned: string[] = [];
  const requester = new Requester({
    transport: line,
    encoder,
    decoder: new MessageDecoder([serializer]),
    timeoutMs,
    beatMs,
    onAbandoned: (id) => abandoned.push(id),
  });
  const ask = async (startMs?: number) => {
    const replies: Reply[] = [];
    const errors: unknown[] = [];
    const before = line.requests.length;
    const stream = requester.openStream(
      { topic: 'rows', target: { kind: 'group', group: 'events.command.rows' }, payload: 1, startMs },
      { onReply: (reply) => replies.push(reply), onError: (error) => errors.push(error) },
      window,
    );
    await until('it is sent', () => line.requests.length > before);
    const message = line.requests.at(-1)?.message as Message;
    const part = (n: number, over: Partial<Message> = {}) =>
      line.answer(message.id, REPLY.part, n, { id: partId(message.id, n), replyTo: 'there', ...over });
    const finish = (n: number) => line.answer(message.id, REPLY.end, null, { id: partId(message.id, n) });
    const values = () => replies.map(({ value }) => value);
    return { ...stream, replies, errors, message, part, finish, values };
  };
  /** What was told to those who answer. */
  const signals = () =>
    line.sent.map(({ target, message: { type, body, correlationId } }) => [
      target.kind === 'reply' ? target.address : '',
      type,
      JSON.parse(Buffer.from(body).toString()) as unknown,
      correlationId,
    ]);
  return { line, requester, ask, signals, abandoned };
}

describe('a requester of streams', () => {
  it('says how many parts it takes, and grants more when half of them have been taken', async () => {
    const { ask, signals, requester } = start();
    const { message, part, take, finish, values, replies } = await ask();
    expect(message.credit).toBe(4);
    for (const n of [0, 1, 2, 3]) part(n);
    expect(signals()).toEqual([]);
    take();
    expect(signals()).toEqual([]);
    take();
    expect(signals()).toEqual([['there', 'request.more', 6, message.id]]);
    for (const n of [4, 5]) part(n);
    finish(6);
    expect(values()).toEqual([0, 1, 2, 3, 4, 5, undefined]);
    expect(replies.at(-1)?.kind).toBe('end');
    take();
    expect(signals()).toHaveLength(1);
    expect(requester.size).toBe(0);
    await requester.close();
  });

  it('drops a part that was here before; one that is missing breaks it, and who answers is told to stop', async () => {
    const { ask, signals, requester } = start();
    const { message, part, errors, values } = await ask();
    for (const n of [0, 0, 1, 0, 1]) part(n);
    expect(values()).toEqual([0, 1]);
    part(3);
    expect(errors).toMatchObject([{ code: 'STREAM_BROKEN', retryable: true }]);
    expect(values()).toEqual([0, 1]);
    expect(signals()).toEqual([['there', 'request.cancel', null, message.id]]);
    expect(requester.size).toBe(0);
    await requester.close();
  });

  it('an end that comes before all parts have is no end', async () => {
    const { ask, requester } = start();
    const { part, finish, errors, values } = await ask();
    part(0);
    finish(2);
    expect(errors).toMatchObject([{ code: 'STREAM_BROKEN' }]);
    expect(values()).toEqual([0]);
    await requester.close();
  });

  it('another process that begins from the start breaks it; both are told to stop', async () => {
    const { ask, signals, requester } = start();
    const { message, part, errors, values } = await ask();
    part(0);
    part(1);
    part(0, { replyTo: 'elsewhere' });
    expect(errors).toMatchObject([{ code: 'STREAM_BROKEN' }]);
    expect(values()).toEqual([0, 1]);
    expect(signals()).toEqual([
      ['elsewhere', 'request.cancel', null, message.id],
      ['there', 'request.cancel', null, message.id],
    ]);
    await requester.close();
  });

  it('more parts than were asked for break it', async () => {
    const { ask, requester } = start();
    const { part, errors, values } = await ask();
    for (const n of [0, 1, 2, 3, 4]) part(n);
    expect(errors).toMatchObject([{ code: 'STREAM_BROKEN' }]);
    expect(values()).toHaveLength(4);
    await requester.close();
  });

  it('takes parts without numbers as they come: not everybody has them', async () => {
    const { ask, line, signals, requester } = start();
    const { message, values, take } = await ask();
    for (const n of [0, 1, 2, 3, 4, 5]) line.answer(message.id, REPLY.part, n);
    for (let n = 0; n < 6; n++) take();
    line.answer(message.id, REPLY.value, 6);
    expect(values()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(signals()).toEqual([]);
    await requester.close();
  });

  it('the first part may have less time than those after it', async () => {
    const { ask, requester } = start({ timeoutMs: 5_000 });
    const { message, errors } = await ask(60);
    expect((message.expiresAt ?? 0) - message.timestamp).toBeLessThanOrEqual(60);
    const begun = await ask(60);
    begun.part(0);
    await until('the other one has waited long enough', () => errors.length === 1);
    begun.part(1);
    expect(errors).toMatchObject([{ code: 'REQUEST_TIMEOUT' }]);
    expect([begun.values(), begun.errors]).toEqual([[0, 1], []]);
    await requester.close();
  });

  it('stopped: who answers is told; when nobody does yet, the hook is; who answers late is told then', async () => {
    const { ask, signals, abandoned, requester } = start();
    const begun = await ask();
    begun.part(0);
    begun.stop();
    expect(signals()).toEqual([['there', 'request.cancel', null, begun.message.id]]);
    expect(abandoned).toEqual([]);
    const early = await ask();
    early.stop();
    expect(abandoned).toEqual([early.message.id]);
    early.part(0);
    expect(signals()).toHaveLength(2);
    expect(signals()[1]).toEqual(['there', 'request.cancel', null, early.message.id]);
    expect([early.replies, early.errors]).toEqual([[], []]);
    await requester.close();
  });

  it('talks to nobody at an address that is none for answers', async () => {
    const { ask, line, requester } = start();
    Object.assign(line, { canReply: (address: string) => address !== 'events.command.orders.delete' });
    const { part, stop } = await ask();
    part(0, { replyTo: 'events.command.orders.delete' });
    stop();
    line.answer('nobody knows it', REPLY.part, 1, { replyTo: 'events.command.orders.delete' });
    expect(line.sent).toEqual([]);
    await requester.close();
  });

  it('waits for the next part while one may come, and not while nobody reads', async () => {
    const { ask, requester } = start({ timeoutMs: 150, window: 2 });
    const { part, take, errors } = await ask();
    part(0);
    part(1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(errors).toEqual([]);
    take();
    await until('its time is up', () => errors.length === 1);
    expect(errors).toMatchObject([{ code: 'REQUEST_TIMEOUT' }]);
    await requester.close();
  });

  it('says again and again that it is there, and how many it takes', async () => {
    const { ask, signals, requester } = start({ beatMs: 10, timeoutMs: 60_000 });
    const { part, message, stop } = await ask();
    part(0);
    await until('it has said so twice', () => signals().length >= 2);
    expect(signals().slice(0, 2)).toEqual([
      ['there', 'request.more', 4, message.id],
      ['there', 'request.more', 4, message.id],
    ]);
    stop();
    const said = signals().length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(signals()).toHaveLength(said);
    await requester.close();
  });

  it('closed, or its connection lost: all that wait are told, and so are those who answer', async () => {
    const { ask, line, signals, requester } = start();
    const lost = await ask();
    lost.part(0);
    line.become('up');
    line.become('down');
    expect(lost.errors).toMatchObject([{ code: 'CONNECTION' }]);
    line.become('up');
    const open = await ask();
    open.part(0);
    await requester.close();
    expect(open.errors).toMatchObject([{ code: 'BUS_CLOSED' }]);
    expect(signals().map(([, type, , id]) => [type, id])).toEqual([
      ['request.cancel', lost.message.id],
      ['request.cancel', open.message.id],
    ]);
  });
});
