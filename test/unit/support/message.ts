import { NO_HEADERS } from '../../../lib/core/headers.js';
import type { Message } from '../../../lib/core/message.js';

/** A message like any other, with what a test cares about. */
export function aMessage(fields: Partial<Message> = {}): Message {
  return {
    id: 'm-1',
    type: '',
    topic: 'orders.created',
    contentType: 'application/json',
    headers: NO_HEADERS,
    body: Buffer.from('{"n":1}'),
    timestamp: 0,
    ...fields,
  };
}
