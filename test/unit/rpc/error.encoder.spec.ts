import { describe, expect, it } from '@jest/globals';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { DecodeError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import type { Serializer } from '../../../lib/core/serializer.js';
import { ErrorEncoder } from '../../../lib/rpc/error.encoder.js';
import { decodeReply } from '../../../lib/rpc/reply.decoder.js';
import { REPLY, replyTopic } from '../../../lib/rpc/rpc.wire.js';
import { compressed } from '../../../lib/serializers/compressed.serializer.js';
import { encrypted } from '../../../lib/serializers/encrypted.serializer.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { MsgpackSerializer } from '../../../lib/serializers/msgpack.serializer.js';
import { ProtobufSerializer } from '../../../lib/serializers/protobuf.serializer.js';
import { StructuredSerializer } from '../../../lib/serializers/structured.serializer.js';
import { TextSerializer } from '../../../lib/serializers/text.serializer.js';

const json = new JsonSerializer();
const KEYS = { keys: { one: Buffer.alloc(32, 1) }, activeKeyId: 'one' };
const sealed = encrypted(json, KEYS);
const FAILURE = Object.freeze({ name: 'Odd', message: 'secret text', code: 'ODD', details: { n: 1 }, retryable: true });

function encode(serializer: Serializer, failure: unknown, maxMessageBytes = 10_000): Message {
  const encoder = new ErrorEncoder({ service: 'shop', serializer, maxMessageBytes, maxDepth: 10 });
  return encoder.encode(replyTopic('orders.place'), failure, { type: REPLY.error, correlationId: 'c-1' });
}

/** What the other side reads, which gets no topic. */
function read(serializer: Serializer, message: Message): unknown {
  return decodeReply(new MessageDecoder([serializer]), 'orders.place', 'error', { ...message, topic: 'back' });
}

const circular: Record<string, unknown> = {};
circular.self = circular;

describe('errors on the wire', () => {
  it('are written as payloads are, and come through every serializer', async () => {
    const protobuf = await ProtobufSerializer.load({
      source: 'syntax = "proto3"; message Order { string id = 1; }',
      types: { 'orders.place': 'Order', 'orders.place.reply': 'Order' },
    });
    const serializers: readonly Serializer[] = [
      json,
      await MsgpackSerializer.load(),
      new StructuredSerializer(),
      new TextSerializer(),
      protobuf,
      sealed,
      compressed(json, { minBytes: 1 }),
      encrypted(compressed(json, { minBytes: 1 }), KEYS),
    ];
    for (const serializer of serializers) {
      const message = encode(serializer, FAILURE);
      expect(message).toMatchObject({ type: 'reply.error', correlationId: 'c-1' });
      expect(read(serializer, message)).toEqual(FAILURE);
    }
  });

  it.each<[string, unknown]>([
    ['a circle', circular],
    ['a BigInt', 1n],
    ['too large', 'x'.repeat(20_000)],
  ])('details that cannot be sent, %s, are left out', (_, details) => {
    const { details: _details, ...rest } = FAILURE;
    for (const serializer of [json, sealed])
      expect(read(serializer, encode(serializer, { ...FAILURE, details }))).toEqual(rest);
  });

  it('a bus that encrypts says nothing in plain, not even that of which the details could not be sent', () => {
    for (const details of [{ n: 1 }, 1n, circular]) {
      const message = encode(sealed, { ...FAILURE, details });
      expect(Buffer.from(message.body).toString('latin1')).not.toMatch(/secret|ODD|Odd/);
    }
  });

  it('when nothing of it can be sent it says so, in plain JSON, and no more', () => {
    const message = encode(sealed, { ...FAILURE, message: 'secret'.repeat(100) }, 100);
    expect(message.contentType).toBe('application/json');
    expect(read(sealed, message)).toEqual({
      name: 'Error',
      message: 'The handler failed, and its error cannot be sent.',
    });
  });

  it('that something has failed comes through however small messages must be', () => {
    const message = encode(json, FAILURE, 1);
    expect(decodeReply(new MessageDecoder([json], 1), 'orders.place', 'error', message)).toEqual(FAILURE);
  });

  it('plain JSON is read beside another format, and is no way around the limit', () => {
    const large = encode(json, { ...FAILURE, details: 'x'.repeat(5_000) });
    for (const serializer of [json, sealed]) {
      const readUpTo = (bytes: number) => () =>
        decodeReply(new MessageDecoder([serializer], bytes), 'orders.place', 'error', large);
      expect(readUpTo(6_000)()).toMatchObject({ name: 'Odd' });
      expect(readUpTo(4_000)).toThrow(DecodeError);
    }
  });
});
