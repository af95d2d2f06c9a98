import type { Options } from 'amqplib';
import { PublishRejectedError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { Target } from '../../core/transport.js';
import { type CopyState, FIRST_ATTEMPT, toProperties } from './rabbitmq.codec.js';

/** A copy for one group's queue, its retry queue or its dead letters. */
interface CopyTarget {
  readonly kind: 'copy';
  readonly queue: string;
  readonly state: CopyState;
}

export type AmqpTarget = Target | CopyTarget;

/** Everything that is not for an exchange goes by the default exchange, straight to a queue. */
export function exchangeName(target: AmqpTarget): string {
  return target.kind === 'exchange' ? target.exchange.name : '';
}

export function routingKeyOf(target: AmqpTarget, message: Message): string {
  switch (target.kind) {
    case 'exchange':
      return message.topic;
    case 'group':
      return target.group;
    case 'copy':
      return target.queue;
    case 'reply':
      return target.address;
  }
}

/** RabbitMQ calls an answer not routed even while it delivers it, and would send each of them back. */
export function propertiesFor(target: AmqpTarget, message: Message): Options.Publish {
  const properties = toProperties(message, copyState(target));
  if (target.kind === 'reply') properties.mandatory = false;
  return properties;
}

function copyState(target: AmqpTarget): CopyState | undefined {
  if (target.kind === 'copy') return target.state;
  return target.kind === 'group' ? FIRST_ATTEMPT : undefined;
}

const REPLY_PREFIX = 'amq.rabbitmq.reply-to';

/** Whoever sends a request chooses where its answer goes: only back to a requester, never into a queue. */
export function isReplyAddress(address: string): boolean {
  return address === REPLY_PREFIX || address.startsWith(`${REPLY_PREFIX}.`);
}

export function asBuffer(body: Uint8Array): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

export function strangeAddress(): Error {
  return new PublishRejectedError(
    'A reply goes only to an address of direct reply-to, and the request named another one.',
    { retryable: false },
    'REPLY_ADDRESS',
  );
}
