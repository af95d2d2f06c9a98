import type { Message } from '../../core/message.js';

/** With bytes of its own, so that nobody can change what another one sees. */
export function copyOf(message: Message): Message {
  return Object.freeze({ ...message, body: Uint8Array.from(message.body) });
}
