import { randomUUID } from 'node:crypto';
import type { Message } from '../../core/message.js';

/** A message as the bus hands it to a transport: frozen. The body is the topic, the time whole seconds. */
export function createMessage(topic: string, over: Partial<Message> = {}): Message {
  const { headers = {}, ...rest } = over;
  return Object.freeze({
    id: randomUUID(),
    type: '',
    topic,
    contentType: 'text/plain',
    headers: Object.freeze({ ...headers }),
    body: Buffer.from(topic),
    timestamp: 1_700_000_000_000,
    ...rest,
  });
}

/** `count` messages with the topics `<topic>.0`, `<topic>.1`, … */
export function createMessages(count: number, topic = 'entry'): readonly Message[] {
  return Array.from({ length: count }, (_, i) => createMessage(`${topic}.${i}`));
}

/** A message with every field set. */
export function createFullMessage(topic: string, over: Partial<Message> = {}): Message {
  return createMessage(topic, {
    type: 'order.placed',
    version: 3,
    key: 'customer-7',
    contentType: 'application/json',
    headers: { tenant: 'acme', retries: 2, vip: true, ratio: -0.25 },
    body: Buffer.from('{"id":"42"}'),
    source: 'shop',
    correlationId: 'correlation-1',
    causationId: 'cause-1',
    depth: 6,
    replyTo: 'shop.replies',
    requestId: 'request-1',
    expiresAt: 4_000_000_000_123,
    dueAt: 1_700_000_000_456,
    ...over,
  });
}

/** Plain data that compares: without prototypes and absent fields, the body as bytes. */
export function toComparable(message: Message): Readonly<Record<string, unknown>> {
  const entries = Object.entries({ ...message, headers: { ...message.headers }, body: [...message.body] });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

export function idsOf(messages: Iterable<{ readonly id: string }>): readonly string[] {
  return Array.from(messages, ({ id }) => id).toSorted();
}
