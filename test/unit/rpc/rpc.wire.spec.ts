import { describe, expect, it } from '@jest/globals';
import {
  countOf,
  partId,
  partOf,
  REPLY,
  type ReplyKind,
  replyKindOf,
  SIGNAL,
  signalKindOf,
} from '../../../lib/rpc/rpc.wire.js';

describe('the wire of requests', () => {
  it('an answer is what its type says; without a type it is the value; any other type is no answer', () => {
    for (const kind of Object.keys(REPLY) as ReplyKind[]) expect(replyKindOf({ type: REPLY[kind] })).toBe(kind);
    expect(replyKindOf({ type: '' })).toBe('value');
    expect(replyKindOf({ type: 'orders.placed' })).toBeUndefined();
    expect(replyKindOf({ type: SIGNAL.cancel })).toBeUndefined();
  });

  it('a part has the id of its request and a number; nobody else has one', () => {
    for (const part of [0, 7, 999_999_999]) expect(partOf('r.1', partId('r.1', part))).toBe(part);
    for (const id of ['', 'r.1', 'r.1.', 'r.1.x', 'r.1.-1', 'r.1.1.5', 'r.10', 'r.2.0', `r.1.${'9'.repeat(16)}`])
      expect(partOf('r.1', id)).toBeUndefined();
  });

  it('a signal is what its type says, and its count a number of so many digits', () => {
    expect(signalKindOf({ type: SIGNAL.more })).toBe('more');
    expect(signalKindOf({ type: SIGNAL.cancel })).toBe('cancel');
    for (const type of ['', 'reply.part', 'request.toString']) expect(signalKindOf({ type })).toBeUndefined();
    const count = (text: string) => countOf({ body: Buffer.from(text) });
    expect([count('0'), count('42'), count('9'.repeat(15))]).toEqual([0, 42, 999_999_999_999_999]);
    for (const text of ['', '-1', '1.5', '1e9', ' 1', '"1"', 'null', '9'.repeat(16)])
      expect(count(text)).toBeUndefined();
  });
});
