import type { Message } from '../core/message.js';

/*
 * A request is a message in the queue `<exchange>.command.<topic>`, one for each command, bound to no exchange: published by
 * the default exchange, so that no subscription to events ever sees it. Body: the payload. `replyTo`: where answers go,
 * `requestId`: what they carry back, `expiresAt`: not started later than this. Without `replyTo` nobody waits for an
 * answer: then it is retried and dead-lettered like an event.
 *
 * An answer is a message to `replyTo` with the request's id as `correlationId`. Its `type` says what it is; a peer that knows only
 * the AMQP way of answering sends one without a type.
 *
 * A request with `credit` may be answered in parts, as many as that before more are granted. Each part has the id `<request's
 * id>.<number>`, from 0, and in `replyTo` where the answering process is talked to; the last answer has the number that the next
 * part would have. What goes to that address has the request's id as `correlationId`, JSON as its body, and a `type` of SIGNAL.
 */

/** `type` of an answer. */
export const REPLY = {
  /** The one value, or the last of several. */
  value: 'reply',
  /** A value after which others come. */
  part: 'reply.part',
  /** No value, and none will come. Its body means nothing: null in the format of the bus, or empty. */
  end: 'reply.end',
  /** It failed; the body says why. The last one. */
  error: 'reply.error',
} as const;

/** `type` of what is told to the one who answers in parts. */
export const SIGNAL = {
  /**
   * The body says how many parts may be sent, counted from the first one: told twice it changes nothing, and one that was lost is
   * made up for by the next. Also said again and again while somebody reads.
   */
  more: 'request.more',
  /** Nobody reads any more. The body is null. */
  cancel: 'request.cancel',
} as const;

export type SignalKind = keyof typeof SIGNAL;

/** In decimal digits, as JSON writes them: fewer than what a number holds exactly. */
const COUNT = /^\d{1,15}$/;

export type ReplyKind = keyof typeof REPLY;

export interface Reply {
  readonly kind: ReplyKind;
  /** The payload, or what is told of the error. */
  readonly value?: unknown;
}

/** Room for that something has failed, in bytes, however small payloads must be. */
export const LEAST_ERROR_BYTES = 256;

/** The topic under which an answer is written and read: on the wire it has no more than an address. */
export function replyTopic(topic: string): string {
  return `${topic}.reply`;
}

/** What an answer is; undefined for a type of which nothing is known. */
export function replyKindOf({ type }: Pick<Message, 'type'>): ReplyKind | undefined {
  if (type === '') return 'value';
  return (Object.keys(REPLY) as ReplyKind[]).find((kind) => REPLY[kind] === type);
}

/** What the answers to a request carry as their `correlationId`. */
export function requestIdOf({ id, correlationId = id, requestId = correlationId }: Message): string {
  return requestId;
}

/** The id of the part with a number. */
export function partId(requestId: string, part: number): string {
  return `${requestId}.${part}`;
}

/** The number of a part; undefined for one that has none: not everybody numbers them. */
export function partOf(requestId: string, id: string): number | undefined {
  if (!id.startsWith(requestId) || id[requestId.length] !== '.') return undefined;
  const digits = id.slice(requestId.length + 1);
  return COUNT.test(digits) ? Number(digits) : undefined;
}

export function signalKindOf({ type }: Pick<Message, 'type'>): SignalKind | undefined {
  return (Object.keys(SIGNAL) as SignalKind[]).find((kind) => SIGNAL[kind] === type);
}

/** How many parts may be sent; undefined for what is no number. */
export function countOf({ body }: Pick<Message, 'body'>): number | undefined {
  if (body.byteLength > 15) return undefined;
  const digits = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
  return COUNT.test(digits) ? Number(digits) : undefined;
}
