import type { ConsumeMessage, GetMessage, Options } from 'amqplib';
import type { Failure } from '../../core/delivery.js';
import { NO_HEADERS, readHeaders } from '../../core/headers.js';
import { LIMITS } from '../../core/limits.js';
import type { HeaderValue, Message } from '../../core/message.js';

/** Our own headers. What the library alone may set is believed only from copies that came by the default exchange. */
const HEADER = {
  version: 'eb-version',
  key: 'eb-key',
  causation: 'eb-causation',
  expires: 'eb-expires',
  due: 'eb-due',
  topic: 'eb-topic',
  attempt: 'eb-attempt',
  deferrals: 'eb-deferrals',
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
  readonly dueAt?: number | undefined;
  readonly firstFailedAt?: number | undefined;
  readonly lastFailedAt?: number | undefined;
  readonly reason?: string;
  readonly failure?: Failure | undefined;
}

type WireHeaders = Record<string, HeaderValue | { readonly '!': 'double'; readonly value: number } | undefined>;
type Received = Pick<ConsumeMessage | GetMessage, 'content' | 'properties' | 'fields'>;

/** The AMQP properties of a message for an exchange, or, with `copy`, for one group. */
export function toProperties(message: Message, copy?: CopyState): Options.Publish {
  return {
    messageId: message.id,
    type: message.type === '' ? undefined : message.type,
    contentType: message.contentType,
    timestamp: Math.floor(message.timestamp / 1_000),
    appId: message.source,
    correlationId: message.correlationId,
    replyTo: message.replyTo,
    headers: toWireHeaders(message, copy),
    persistent: true,
    mandatory: true,
  };
}

function toWireHeaders(message: Message, copy: CopyState | undefined): WireHeaders | undefined {
  const { version, key, causationId, expiresAt, dueAt, headers } = message;
  const isPlain =
    version === undefined &&
    key === undefined &&
    causationId === undefined &&
    expiresAt === undefined &&
    dueAt === undefined;
  if (isPlain && !copy && headers === NO_HEADERS) return undefined;
  const own: WireHeaders = {};
  for (const name of Object.keys(headers)) own[name] = toField(headers[name]);
  if (version !== undefined) own[HEADER.version] = version;
  if (key !== undefined) own[HEADER.key] = key;
  if (causationId !== undefined) own[HEADER.causation] = causationId;
  if (expiresAt !== undefined) own[HEADER.expires] = expiresAt;
  if (dueAt !== undefined) own[HEADER.due] = dueAt;
  if (copy) addCopyState(own, message, copy);
  return own;
}

/** The driver writes every whole number as an integer, and cannot write the large ones. */
function toField(value: HeaderValue | undefined): WireHeaders[string] {
  return typeof value === 'number' && !Number.isSafeInteger(value) ? { '!': 'double', value } : value;
}

function addCopyState(headers: WireHeaders, message: Message, copy: CopyState): void {
  const { attempt, deferrals, dueAt, firstFailedAt, lastFailedAt, reason, failure } = copy;
  headers[HEADER.topic] = message.topic;
  headers[HEADER.attempt] = attempt;
  if (deferrals) headers[HEADER.deferrals] = deferrals;
  if (dueAt !== undefined) headers[HEADER.due] = dueAt;
  if (firstFailedAt !== undefined) headers[HEADER.firstFailed] = firstFailedAt;
  if (lastFailedAt !== undefined) headers[HEADER.lastFailed] = lastFailedAt;
  if (reason !== undefined) headers[HEADER.reason] = reason;
  if (!failure) return;
  headers[HEADER.errorName] = failure.name;
  headers[HEADER.errorMessage] = failure.message;
  if (failure.stack !== undefined) headers[HEADER.errorStack] = failure.stack;
}

/** What came over the wire, as a message; nothing in it can choose a route, a class or a decoder. */
export function toMessage({ content, properties, fields }: Received): Message {
  const raw = properties.headers as Record<string, unknown> | undefined;
  const topic = isCopy(fields) ? text(raw, HEADER.topic) : undefined;
  return {
    id: properties.messageId ?? '',
    type: properties.type ?? '',
    version: integer(raw, HEADER.version),
    topic: topic ?? fields.routingKey,
    key: text(raw, HEADER.key),
    contentType: properties.contentType ?? '',
    headers: readHeaders(raw),
    body: content,
    timestamp: toMs(properties.timestamp),
    source: properties.appId,
    correlationId: properties.correlationId,
    causationId: text(raw, HEADER.causation),
    replyTo: properties.replyTo,
    expiresAt: integer(raw, HEADER.expires),
    dueAt: integer(raw, HEADER.due),
  } as Message;
}

/** The attempt of a delivery, whatever the wire says within 1 and the limit. */
export function attemptOf({ properties, fields }: Received): number {
  if (!isCopy(fields)) return 1;
  return clamp(integer(properties.headers, HEADER.attempt) ?? 1, 1, LIMITS.attempt);
}

export function deferralsOf({ properties, fields }: Received): number {
  if (!isCopy(fields)) return 0;
  return clamp(integer(properties.headers, HEADER.deferrals) ?? 0, 0, LIMITS.deferrals);
}

/** Counted by the queue itself, for deliveries that were neither acknowledged nor rejected for good. */
export function returnsOf({ properties }: Received): number {
  return Math.max(0, integer(properties.headers, 'x-delivery-count') ?? 0);
}

export function firstFailedAtOf({ properties, fields }: Received): number | undefined {
  return isCopy(fields) ? integer(properties.headers, HEADER.firstFailed) : undefined;
}

/** What is written beside a dead letter; from the broker's own `x-death` when the broker dead-lettered it. */
export function toDeadLetter(received: Received): {
  readonly message: Message;
  readonly reason: string;
  readonly attempts: number;
  readonly failure?: Failure;
  readonly firstFailedAt?: number;
  readonly lastFailedAt?: number;
} {
  const raw = received.properties.headers as Record<string, unknown> | undefined;
  const name = text(raw, HEADER.errorName);
  const stack = text(raw, HEADER.errorStack);
  const death = firstDeath(raw);
  const message = toMessage(received);
  const topic = text(raw, HEADER.topic) ?? death?.topic;
  const firstFailedAt = integer(raw, HEADER.firstFailed);
  const lastFailedAt = integer(raw, HEADER.lastFailed);
  return {
    message: topic === undefined ? message : { ...message, topic },
    reason: text(raw, HEADER.reason) ?? death?.reason ?? 'unknown',
    attempts: attemptOf(received),
    ...(name !== undefined && {
      failure: { name, message: text(raw, HEADER.errorMessage) ?? '', ...(stack !== undefined && { stack }) },
    }),
    ...(firstFailedAt !== undefined && { firstFailedAt }),
    ...(lastFailedAt !== undefined && { lastFailedAt }),
  };
}

function firstDeath(
  raw: Record<string, unknown> | undefined,
): { readonly reason: string; readonly topic?: string } | undefined {
  const deaths = raw?.['x-death'];
  const death: unknown = Array.isArray(deaths) ? deaths[0] : undefined;
  if (typeof death !== 'object' || death === null) return undefined;
  const { reason, 'routing-keys': keys } = death as { readonly reason?: unknown; readonly 'routing-keys'?: unknown };
  const topic: unknown = Array.isArray(keys) ? keys[0] : undefined;
  return {
    reason: typeof reason === 'string' ? reason.replaceAll('_', '-') : 'unknown',
    ...(typeof topic === 'string' && { topic }),
  };
}

function isCopy(fields: Received['fields']): boolean {
  return fields.exchange === '';
}

function text(headers: Record<string, unknown> | undefined, name: string): string | undefined {
  const value = headers?.[name];
  return typeof value === 'string' ? value : undefined;
}

function integer(headers: Record<string, unknown> | undefined, name: string): number | undefined {
  const value = headers?.[name];
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** Seconds by the standard; many clients send milliseconds. */
function toMs(timestamp: unknown): number {
  if (typeof timestamp !== 'number' || !(timestamp > 0)) return 0;
  return timestamp > 100_000_000_000 ? timestamp : timestamp * 1_000;
}
