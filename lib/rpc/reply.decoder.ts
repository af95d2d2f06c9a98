import type { MessageDecoder } from '../bus/message-decoder.js';
import { DecodeError } from '../core/errors.js';
import type { Message } from '../core/message.js';
import { JsonSerializer } from '../serializers/json.serializer.js';
import { LEAST_ERROR_BYTES, type ReplyKind, replyTopic } from './rpc.wire.js';

const JSON_READER = Object.freeze(new JsonSerializer());

/**
 * The value of an answer. An error may come as plain JSON whatever the bus is set to: not every serializer can write one.
 *
 * @param topic of the request: the answer itself says no more than an address
 * @throws DecodeError
 */
export function decodeReply(decoder: MessageDecoder, topic: string, kind: ReplyKind, message: Message): unknown {
  const named: Message = { ...message, topic: replyTopic(topic) };
  if (kind !== 'error') return decoder.decode({ ...named, type: '' });
  try {
    return decoder.decode(named);
  } catch (error) {
    const isJson = message.contentType === JSON_READER.contentType && message.contentEncoding === undefined;
    const isBounded = message.body.byteLength <= Math.max(decoder.maxMessageBytes, LEAST_ERROR_BYTES);
    if (!(error instanceof DecodeError) || !isJson || !isBounded) throw error;
    return JSON_READER.decode(message.body);
  }
}
