import type { Failure } from '../../core/delivery.js';
import { LIMITS } from '../../core/limits.js';
import { truncateBytes } from '../../core/text.js';
import type { DeadLetterRecord } from '../../core/transport.js';
import { attemptOf, HEADER, integer, type Received, text, toMessage } from './rabbitmq.codec.js';

type RawHeaders = Readonly<Record<string, unknown>> | undefined;

/** Beyond it no Date can be made. */
const MAX_TIME_MS = 8_640_000_000_000_000;
const NAME_BYTES = 255;

/** Why the broker itself made a dead letter, in its own words, in ours, and in a sentence. */
const BROKER_REASONS: Readonly<Record<string, { readonly reason: string; readonly failure: Failure }>> = Object.freeze({
  delivery_limit: {
    reason: 'delivery-limit',
    failure: {
      name: 'DeliveryLimit',
      message:
        'RabbitMQ delivered the message as often as the delivery limit of its queue allows, and got no answer. Most often the process ended, or lost its connection, while it handled the message.',
    },
  },
  expired: {
    reason: 'expired',
    failure: {
      name: 'Expired',
      message:
        'The message expired in its queue before it was handled: by its own expiration, or by a limit of the queue.',
    },
  },
  rejected: {
    reason: 'rejected',
    failure: { name: 'Rejected', message: 'A consumer rejected the message, and did not ask for it to be given back.' },
  },
  maxlen: {
    reason: 'maxlen',
    failure: { name: 'QueueFull', message: 'The queue was full, and its length limit pushed the message out.' },
  },
});

const UNKNOWN: { readonly reason: string; readonly failure: Failure } = Object.freeze({
  reason: 'unknown',
  failure: Object.freeze({ name: 'Unknown', message: 'Nothing that can be believed says why the message is here.' }),
});

/** What the broker says of the last time when it dead-lettered a message. Up to RabbitMQ 3.13 a publisher can forge it. */
interface Death {
  readonly reason: string | undefined;
  /** Where the message had been published. */
  readonly exchange: string | undefined;
  readonly topic: string | undefined;
  readonly time: number | undefined;
}

/**
 * What is written beside a dead letter. A copy of ours tells it in our own headers. Of one that the broker made, the reason is
 * the broker's, and our headers are believed only if it had come by the default exchange, as copies do.
 */
export function toDeadLetter(received: Received): DeadLetterRecord {
  const raw = received.properties.headers as RawHeaders;
  const death = lastDeath(raw);
  return death ? madeByBroker(received, raw, death) : madeByUs(received, raw);
}

function madeByUs(received: Received, raw: RawHeaders): DeadLetterRecord {
  const isOurs = received.fields.exchange === '';
  const name = isOurs ? text(raw, HEADER.errorName) : undefined;
  const reason = isOurs ? text(raw, HEADER.reason) : undefined;
  const stack = text(raw, HEADER.errorStack, LIMITS.errorStackBytes);
  const failure =
    name === undefined
      ? undefined
      : {
          name: truncateBytes(name, NAME_BYTES),
          message: truncateBytes(text(raw, HEADER.errorMessage) ?? '', LIMITS.errorMessageBytes),
          ...(stack !== undefined && { stack: truncateBytes(stack, LIMITS.errorStackBytes) }),
        };
  return {
    message: toMessage(received),
    reason: truncateBytes(reason ?? UNKNOWN.reason, NAME_BYTES),
    attempts: attemptOf(received),
    ...(failure ? { failure } : reason === undefined && { failure: UNKNOWN.failure }),
    ...(isOurs && times(time(raw, HEADER.firstFailed), time(raw, HEADER.lastFailed))),
  };
}

function madeByBroker(received: Received, raw: RawHeaders, death: Death): DeadLetterRecord {
  const isCopy = received.fields.exchange === '' && death.exchange === '';
  const routingKey = death.topic ?? received.fields.routingKey;
  // as it was before the broker moved it: what came by another exchange is not taken for a copy
  const fields = { ...received.fields, exchange: isCopy ? '' : death.exchange || 'unknown', routingKey };
  const original = { ...received, fields };
  const { reason, failure } = own(BROKER_REASONS, death.reason ?? '') ?? UNKNOWN;
  const firstFailedAt = isCopy ? time(raw, HEADER.firstFailed) : undefined;
  return {
    message: toMessage(original),
    reason,
    failure,
    attempts: attemptOf(original),
    ...times(firstFailedAt ?? death.time, death.time),
  };
}

/** The broker counts in whole seconds, which may seem to be before what we count in milliseconds. */
function times(
  first: number | undefined,
  last: number | undefined,
): Pick<DeadLetterRecord, 'firstFailedAt' | 'lastFailedAt'> {
  const until = first !== undefined && last !== undefined ? Math.max(first, last) : last;
  return {
    ...(first !== undefined && { firstFailedAt: first }),
    ...(until !== undefined && { lastFailedAt: until }),
  };
}

function lastDeath(raw: RawHeaders): Death | undefined {
  const deaths = own(raw, 'x-death');
  if (deaths === undefined) return undefined;
  const death: unknown = Array.isArray(deaths) ? deaths[0] : undefined;
  const keys = own(death, 'routing-keys');
  const seconds = own(own(death, 'time'), 'value');
  return {
    reason: string(own(death, 'reason')),
    exchange: string(own(death, 'exchange')),
    topic: string(Array.isArray(keys) ? keys[0] : undefined),
    time: inRange(typeof seconds === 'number' ? seconds * 1_000 : undefined),
  };
}

/** Never one of a prototype, which the driver lets a message choose. */
function own<T>(object: Readonly<Record<string, T>>, name: string): T | undefined;
function own(object: unknown, name: string): unknown;
function own(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, name)) return undefined;
  return (object as Readonly<Record<string, unknown>>)[name];
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && Buffer.byteLength(value) <= LIMITS.topicBytes ? value : undefined;
}

function time(raw: RawHeaders, name: string): number | undefined {
  return inRange(integer(raw, name));
}

function inRange(time: number | undefined): number | undefined {
  return time !== undefined && time > 0 && time <= MAX_TIME_MS ? time : undefined;
}
