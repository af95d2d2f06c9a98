import type { Message } from '../core/message.js';

/** What the parts of a message that are of any length take, in bytes. */
export function bytesOf({ body, topic, headers }: Message): number {
  let bytes = body.byteLength + topic.length;
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    bytes += name.length + (typeof value === 'string' ? value.length : 8);
  }
  return bytes;
}

/** The message as it can be kept: a small body is often a piece of a large buffer, which it would keep as well. */
export function compact(message: Message): Message {
  const { body } = message;
  if (body.byteLength === body.buffer.byteLength) return message;
  return Object.freeze({ ...message, body: new Uint8Array(body) });
}
