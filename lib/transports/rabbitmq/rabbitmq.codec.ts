import type { ConsumeMessage, GetMessage, Options } from 'amqplib';
import { readDepth } from '../../core/chain-depth.js';
import type { Failure } from '../../core/delivery.js';
import { areHeadersCut, NO_HEADERS, readHeaders } from '../../core/headers.js';
import { LIMITS } from '../../core/limits.js';
import type { HeaderValue, Message } from '../../core/message.js';
import { truncateBytes } from '../../core/text.js';
import { UNREADABLE } from './rabbitmq.frame-guard.js';
import { expiryOf, withExpiry, withoutExpiry } from './rabbitmq.request-id.js';

/** Our own headers. What the library alone may set is believed only from copies that came by the default exchange. */
export const HEADER = {
  version: 'eb-version',
  key: 'eb-key',
  causation: 'eb-causation',
  correlation: 'eb-correlation',
  depth: 'eb-depth',
  credit: 'eb-credit',
  expires: 'eb-expires',
  due: 'eb-due',
  topic: 'eb-topic',
  attempt: 'eb-attempt',
  deferrals: 'eb-deferrals',
  misses: 'eb-misses',
  firstFailed: 'eb-first-failed',
  lastFailed: 'eb-last-failed',
  reason: 'eb-reason',
  errorName: 'eb-error-name',
  errorMessage: 'eb-error-message',
  errorStack: 'eb-error-stack',
} as const;

/** What a copy for one group carries besides the message. */
export interface CopyState {
  readonly attempt: number;
  readonly deferrals?: number | undefined;
  readonly misses?: number | undefined;
  readonly dueAt?: number | undefined;
  readonly firstFailedAt?: number | undefined;
  readonly lastFailedAt?: number | undefined;
  readonly reason?: string;
  readonly failure?: Failure | undefined;
}

type WireField = HeaderValue | { readonly '!': 'double'; readonly value: number } | null | undefined;
type WireHeaders = Record<string, WireField>;
type RawHeaders = Readonly<Record<string, unknown>> | undefined;
export type Received = Pick<ConsumeMessage | GetMessage, 'content' | 'properties' | 'fields'>;

/** AMQP carries the properties as short strings. */
const PROPERTY_BYTES = 255;
/** Larger ones are milliseconds: as seconds they would lie beyond the year 5138. */
const LAST_SECOND = 100_000_000_000;
/** How bodies that are not encoded further are marked. */
const PLAIN_ENCODINGS: readonly string[] = ['', 'identity', 'utf-8', 'utf8'];

/** Of what was not handled yet. */
export const FIRST_ATTEMPT: CopyState = Object.freeze({ attempt: 1 });

/** The AMQP properties of a message for an exchange, or, with `copy`, for one group. */
export function toProperties(message: Message, copy?: CopyState): Options.Publish {
  const { replyTo, expiresAt } = message;
  const messageId = messageIdOf(message);
  return {
    messageId,
    type: message.type === '' ? undefined : message.type,
    contentType: message.contentType,
    contentEncoding: message.contentEncoding,
    timestamp: Math.floor(message.timestamp / 1_000),
    appId: message.source,
    // who answers knows only this property; the id of what the request is a part of goes beside it
    correlationId: message.requestId ?? message.correlationId,
    replyTo,
    headers: toWireHeaders(message, copy, messageId === message.id ? expiresAt : undefined),
    persistent: true,
    mandatory: true,
  };
}

/** As it stands on the wire. */
export function messageIdOf({ id, replyTo, expiresAt }: Message): string {
  return replyTo === undefined || expiresAt === undefined ? id : (withExpiry(id, expiresAt) ?? id);
}

function toWireHeaders(
  message: Message,
  copy: CopyState | undefined,
  expiresAt: number | undefined,
): WireHeaders | undefined {
  const { version, key, causationId, depth, credit, dueAt, headers } = message;
  const correlation = message.requestId === undefined ? undefined : message.correlationId;
  const isPlain =
    version === undefined &&
    key === undefined &&
    causationId === undefined &&
    correlation === undefined &&
    depth === undefined &&
    credit === undefined &&
    expiresAt === undefined &&
    dueAt === undefined;
  const saysNothing = !copy || (copy === FIRST_ATTEMPT && isNamedByType(message));
  if (isPlain && saysNothing && headers === NO_HEADERS) return undefined;
  const own: WireHeaders = {};
  for (const name of Object.keys(headers)) own[name] = toField(headers[name]);
  if (version !== undefined) own[HEADER.version] = version;
  if (key !== undefined) own[HEADER.key] = key;
  if (causationId !== undefined) own[HEADER.causation] = causationId;
  if (correlation !== undefined) own[HEADER.correlation] = correlation;
  if (depth !== undefined) own[HEADER.depth] = depth;
  if (credit !== undefined) own[HEADER.credit] = credit;
  if (expiresAt !== undefined) own[HEADER.expires] = expiresAt;
  if (dueAt !== undefined) own[HEADER.due] = dueAt;
  if (copy) addCopyState(own, message, copy);
  return own;
}

/**
 * How a header is written, of a message and of a binding alike: what differs in type is different to the broker. The driver
 * writes every whole number as an integer, and cannot write the large ones.
 */
export function toField(value: WireField): WireField {
  return typeof value === 'number' && !Number.isSafeInteger(value) ? { '!': 'double', value } : value;
}

function addCopyState(headers: WireHeaders, message: Message, copy: CopyState): void {
  const { attempt, deferrals, misses, dueAt, firstFailedAt, lastFailedAt, reason, failure } = copy;
  if (!isNamedByType(message)) headers[HEADER.topic] = message.topic;
  if (attempt > 1) headers[HEADER.attempt] = attempt;
  if (deferrals) headers[HEADER.deferrals] = deferrals;
  if (misses) headers[HEADER.misses] = misses;
  if (dueAt !== undefined) headers[HEADER.due] = dueAt;
  if (firstFailedAt !== undefined) headers[HEADER.firstFailed] = firstFailedAt;
  if (lastFailedAt !== undefined) headers[HEADER.lastFailed] = lastFailedAt;
  if (reason !== undefined) headers[HEADER.reason] = reason;
  if (!failure) return;
  headers[HEADER.errorName] = failure.name;
  headers[HEADER.errorMessage] = failure.message;
  if (failure.stack !== undefined) headers[HEADER.errorStack] = failure.stack;
}

/** The type of a request is its topic, and need not be said twice. */
function isNamedByType({ replyTo, type, topic }: Message): boolean {
  return replyTo !== undefined && type !== '' && type === topic;
}

/** What came over the wire, as a message; nothing in it can choose a route, a class or a decoder. */
export function toMessage(received: Received): Message {
  const { content, properties, fields } = received;
  const raw: RawHeaders = properties.headers;
  const id = property(properties.messageId) ?? '';
  const type = property(properties.type) ?? '';
  const correlationId = property(properties.correlationId);
  const replyTo = property(properties.replyTo);
  const isRequest = replyTo !== undefined;
  const correlation = isRequest ? text(raw, HEADER.correlation) : undefined;
  const topic = isCopy(received) ? (text(raw, HEADER.topic) ?? (isRequest && type ? type : undefined)) : undefined;
  const header = integer(raw, HEADER.expires);
  const expiresAt = isRequest && header === undefined ? expiryOf(id) : undefined;
  return {
    id: expiresAt === undefined ? id : withoutExpiry(id),
    type,
    version: integer(raw, HEADER.version),
    topic: topic ?? fields.routingKey,
    key: text(raw, HEADER.key),
    contentType: property(properties.contentType) ?? '',
    contentEncoding: packing(properties),
    headers: readHeaders(raw),
    body: content,
    timestamp: toMs(properties.timestamp),
    source: property(properties.appId),
    // without one the answer carries what stands there as the id
    correlationId: correlation ?? correlationId ?? (expiresAt === undefined ? undefined : id),
    causationId: text(raw, HEADER.causation),
    depth: readDepth(own(raw, HEADER.depth)),
    replyTo,
    requestId: correlation === undefined ? undefined : correlationId,
    credit: isRequest ? creditOf(raw) : undefined,
    expiresAt: header ?? expiresAt,
    dueAt: integer(raw, HEADER.due),
  } as Message;
}

/** Whatever the wire says within 1 and the limit. */
function creditOf(headers: RawHeaders): number | undefined {
  const credit = integer(headers, HEADER.credit);
  return credit === undefined ? undefined : clamp(credit, 1, LIMITS.streamCredit);
}

/** The attempt of a delivery, whatever the wire says within 1 and the limit. */
export function attemptOf(received: Received): number {
  if (!isCopy(received)) return 1;
  return clamp(integer(received.properties.headers, HEADER.attempt) ?? 1, 1, LIMITS.attempt);
}

export function deferralsOf(received: Received): number {
  if (!isCopy(received)) return 0;
  return clamp(integer(received.properties.headers, HEADER.deferrals) ?? 0, 0, LIMITS.deferrals);
}

export function missesOf(received: Received): number {
  if (!isCopy(received)) return 0;
  return clamp(integer(received.properties.headers, HEADER.misses) ?? 0, 0, LIMITS.attempt);
}

/**
 * Counted by the queue itself, for deliveries that were neither acknowledged nor rejected for good. On the first delivery
 * it would be the sender's.
 */
export function returnsOf({ properties, fields }: Received): number {
  return fields.redelivered ? Math.max(0, integer(properties.headers, 'x-delivery-count') ?? 0) : 0;
}

export function firstFailedAtOf(received: Received): number | undefined {
  return isCopy(received) ? integer(received.properties.headers, HEADER.firstFailed) : undefined;
}

/** The codings of the body; a character set is none. */
function packing(properties: Received['properties']): string | undefined {
  const encoding = property((properties as { readonly contentEncoding?: string }).contentEncoding);
  return encoding === undefined || PLAIN_ENCODINGS.includes(encoding.toLowerCase()) ? undefined : encoding;
}

/** Why a message cannot be had as it was sent, without anything of it. */
export function defectOf({ properties }: Received): string | undefined {
  const headers: RawHeaders = properties.headers;
  if (headers === undefined) return undefined;
  if (own(headers, UNREADABLE) !== undefined) return 'The headers cannot be read: they are nested too deep.';
  return areHeadersCut(headers)
    ? `There are more than ${LIMITS.headerCount} headers, or more than ${LIMITS.headerBytes} bytes of them.`
    : undefined;
}

/**
 * Whether this library has put it into a queue. What the broker itself has dead-lettered comes by the default exchange too,
 * with the headers of whoever published it.
 */
function isCopy({ fields, properties }: Received): boolean {
  if (fields.exchange !== '') return false;
  const deaths = own(properties.headers, 'x-death');
  const death: unknown = Array.isArray(deaths) ? deaths[0] : undefined;
  if (typeof death !== 'object' || death === null) return true;
  return own(death as RawHeaders, 'exchange') === '';
}

/** The driver lets whoever sends a message choose the prototype of its headers. */
function own(headers: RawHeaders, name: string): unknown {
  return headers !== undefined && Object.hasOwn(headers, name) ? headers[name] : undefined;
}

export function text(
  headers: RawHeaders,
  name: string,
  limit: number = LIMITS.internalHeaderBytes,
): string | undefined {
  const value = own(headers, name);
  return typeof value === 'string' && value.length <= limit && Buffer.byteLength(value) <= limit ? value : undefined;
}

export function integer(headers: RawHeaders, name: string): number | undefined {
  const value = own(headers, name);
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

/** What is not UTF-8 grows when it is read, and must fit into a copy. */
function property(value: string | undefined): string | undefined {
  return value === undefined ? undefined : truncateBytes(value, PROPERTY_BYTES);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** Seconds by the standard; many clients send milliseconds. */
function toMs(timestamp: unknown): number {
  if (typeof timestamp !== 'number' || !(timestamp > 0)) return 0;
  if (timestamp <= LAST_SECOND) return timestamp * 1_000;
  return timestamp <= LAST_SECOND * 1_000 ? timestamp : 0;
}
