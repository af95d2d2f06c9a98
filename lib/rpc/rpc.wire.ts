import { ConfigurationError } from '../core/errors.js';
import type { Message } from '../core/message.js';

/*
 * A request is a message in the queue `<exchange>.command.<topic>`, one for each command, bound to no exchange: published by
 * the default exchange, so that no subscription to events ever sees it. Body: the payload. `replyTo`: where answers go,
 * `correlationId`: what they carry back, `expiresAt`: not started later than this. Without `replyTo` nobody waits for an
 * answer: then it is retried and dead-lettered like an event.
 *
 * An answer is a message to `replyTo` with the request's `correlationId`. Its `type` says what it is; a peer that knows only
 * the AMQP way of answering sends one without a type.
 */

/** `type` of an answer. */
export const REPLY = {
  /** The one value, or the last of several. */
  value: 'reply',
  /** A value after which others come. */
  part: 'reply.part',
  /** No value, and none will come. Without a body. */
  end: 'reply.end',
  /** It failed; the body says why. The last one. */
  error: 'reply.error',
} as const;

export type ReplyKind = keyof typeof REPLY;

export interface Reply {
  readonly kind: ReplyKind;
  /** The payload, or what is told of the error. */
  readonly value?: unknown;
}

/** What an answer is; undefined for a type of which nothing is known. */
export function replyKindOf({ type }: Pick<Message, 'type'>): ReplyKind | undefined {
  if (type === '') return 'value';
  return (Object.keys(REPLY) as ReplyKind[]).find((kind) => REPLY[kind] === type);
}

/**
 * The group, and with it the queue, of a command, without the namespace.
 *
 * @throws ConfigurationError for a topic that can name no queue
 */
export function commandGroup(exchange: string, topic: string): string {
  if (topic === '' || topic.includes('\0')) throw new ConfigurationError('A command needs a name.');
  const wild = topic.split('.').find((word) => word === '*' || word === '#');
  if (wild !== undefined) {
    throw new ConfigurationError(
      `"${topic}" has the wildcard "${wild}": a command has one name and one handler. Use an event for what several may ask for.`,
    );
  }
  const group = `${exchange}.command.${topic}`;
  // the longest suffix of its retry queues has 15
  if (Buffer.byteLength(group) > 240)
    throw new ConfigurationError(`The command "${topic.slice(0, 32)}…" has too long a name.`);
  return group;
}
