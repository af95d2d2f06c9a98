import { encodedOf } from '../core/encoded-body.js';
import { ChainTooDeepError, MessageTooLargeError, ValidationError } from '../core/errors.js';
import { toHeaders } from '../core/headers.js';
import { IdSource } from '../core/id-source.js';
import type { Message } from '../core/message.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import type { EventDefinition } from './event-definition.js';
import type { EventPublishOptions } from './publish-options.js';
import type { ResolvedOptions } from './resolved-options.js';

const NO_BODY = new Uint8Array(0);

type Draft = { -readonly [K in keyof Message]: Message[K] };

/** What a message says of itself. */
export interface MessageOptions extends EventPublishOptions {
  /** Where an answer to it goes. */
  readonly replyTo?: string;
  /** What the answer must carry back. */
  readonly requestId?: string;
  /** How many handlers were at work before it, each because of the one before. Default 0. */
  readonly depth?: number;
  /** How many parts its answer may have before more are granted. */
  readonly credit?: number;
}

export interface MessageEncoderOptions {
  readonly service: string | undefined;
  readonly serializer: Serializer;
  readonly maxMessageBytes: number;
  /** Of the chain of handlers. */
  readonly maxDepth: number;
}

/** What a bus's messages are made with. */
export function encodingOf(parts: {
  readonly serializer: Serializer;
  readonly options: Pick<ResolvedOptions, 'service' | 'publish'>;
}): MessageEncoderOptions {
  const { serializer, options } = parts;
  const { maxMessageBytes, maxDepth } = options.publish;
  return { service: options.service, serializer, maxMessageBytes, maxDepth };
}

/** Makes frozen messages of payloads, within the limits. */
export class MessageEncoder {
  private readonly ids = new IdSource();

  constructor(private readonly options: MessageEncoderOptions) {}

  /** @throws ValidationError, MessageTooLargeError, ChainTooDeepError, ConfigurationError (of a header) */
  encode(topic: string, payload: unknown, options: MessageOptions, definition?: EventDefinition): Message {
    const { serializer, maxMessageBytes, maxDepth, service } = this.options;
    const { depth = 0 } = options;
    if (depth > maxDepth) throw new ChainTooDeepError(topic, depth, maxDepth);
    const now = Date.now();
    const message: Draft = {
      id: options.id ?? this.ids.next(),
      type: options.type ?? definition?.topic ?? '',
      topic,
      contentType: serializer.contentType,
      headers: toHeaders(options.headers),
      body: NO_BODY,
      timestamp: now,
    };
    if (definition?.version !== undefined) message.version = definition.version;
    if (service !== undefined) message.source = service;
    if (options.key !== undefined) message.key = options.key;
    if (options.correlationId !== undefined) message.correlationId = options.correlationId;
    if (options.causationId !== undefined) message.causationId = options.causationId;
    if (depth > 0) message.depth = depth;
    if (options.replyTo !== undefined) message.replyTo = options.replyTo;
    if (options.requestId !== undefined) message.requestId = options.requestId;
    if (options.credit !== undefined) message.credit = options.credit;
    if (options.expiresInMs !== undefined) message.expiresAt = now + options.expiresInMs;
    if (options.delayMs) message.dueAt = now + options.delayMs;
    applyTo(message, this.write(serializer, payload, message));
    const { byteLength } = message.body;
    if (byteLength > maxMessageBytes)
      throw new MessageTooLargeError(`The payload for "${topic}"`, byteLength, maxMessageBytes);
    return Object.freeze(message);
  }

  private write(serializer: Serializer, payload: unknown, head: MessageHead): EncodedBody {
    try {
      return encodedOf(serializer.encode(payload, head));
    } catch (cause) {
      if (cause instanceof ValidationError || cause instanceof MessageTooLargeError) throw cause;
      throw new ValidationError(
        `The payload for "${head.topic}" cannot be serialized.`,
        [],
        { cause },
        'UNSERIALIZABLE',
      );
    }
  }
}

function applyTo(message: Draft, encoded: EncodedBody): void {
  const { body, contentType, contentEncoding, headers } = encoded;
  message.body = body;
  if (contentType !== undefined) message.contentType = contentType;
  if (contentEncoding !== undefined) message.contentEncoding = contentEncoding;
  if (headers) message.headers = toHeaders({ ...message.headers, ...headers });
}
