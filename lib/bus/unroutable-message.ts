import type { Headers, Message } from '../core/message.js';
import type { Returned } from '../core/transport.js';
import type { BusExchange } from './bus-exchanges.js';
import type { MessageDecoder } from './message-decoder.js';

/** What the broker says when no queue is bound; assumed of a transport that does not quote it. */
const NO_ROUTE: Returned = Object.freeze({ code: 312, text: 'NO_ROUTE' });

/** An event that no group got. */
export interface UnroutableMessage {
  readonly id: string;
  readonly topic: string;
  /** Where it was published, as `publish(…, { exchange })` names it: without the namespace. */
  readonly exchange: string;
  /** Whether it was a `broadcast`, that no instance got. */
  readonly broadcast: boolean;
  /** The body as a consumer would get it; absent when this bus cannot decode what it has sent. */
  readonly payload?: unknown;
  readonly body: Uint8Array;
  readonly headers: Headers;
  /** All that was sent. */
  readonly message: Message;
  /** How the broker has put it, in the numbers of AMQP: 312. */
  readonly replyCode: number;
  /** `NO_ROUTE`. */
  readonly replyText: string;
  /** When the broker said so, in milliseconds since 1970. */
  readonly at: number;
}

/** An event that came back, before anybody wants to read it. */
export interface Unrouted {
  readonly exchange: BusExchange;
  readonly broadcast: boolean;
  readonly message: Message;
  readonly returned: Returned | undefined;
  readonly at: number;
}

/** As users get it. */
export function toUnroutable(unrouted: Unrouted, decoder: MessageDecoder): UnroutableMessage {
  const { exchange, broadcast, message, at } = unrouted;
  const { id, topic, body, headers } = message;
  const { code, text } = unrouted.returned ?? NO_ROUTE;
  return Object.freeze({
    id,
    topic,
    exchange: exchange.name,
    broadcast,
    ...payloadOf(message, decoder),
    body,
    headers,
    message,
    replyCode: code,
    replyText: text,
    at,
  });
}

function payloadOf(message: Message, decoder: MessageDecoder): { readonly payload?: unknown } {
  try {
    return { payload: decoder.decode(message) };
  } catch {
    return {}; // written by a middleware, say; the bytes are in `body`
  }
}
