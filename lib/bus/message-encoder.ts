import { encodedOf } from '../core/encoded-body.js';
import { MessageTooLargeError, ValidationError } from '../core/errors.js';
import { toHeaders } from '../core/headers.js';
import { IdSource } from '../core/id-source.js';
import type { Message } from '../core/message.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import type { EventDefinition } from './event-definition.js';
import type { EventPublishOptions } from './publish-options.js';

const NO_BODY = new Uint8Array(0);

type Draft = { -readonly [K in keyof Message]: Message[K] };

/** What a message says of itself. */
export interface MessageOptions extends EventPublishOptions {
  /** Where an answer to it goes. */
  readonly replyTo?: string;
}

export interface MessageEncoderOptions {
  readonly service: string | undefined;
  readonly serializer: Serializer;
  readonly maxMessageBytes: number;
}

/** Makes frozen messages of payloads, within the limits. */
export class MessageEncoder {
  private readonly ids = new IdSource();

  constructor(private readonly options: MessageEncoderOptions) {}

  /** @throws ValidationError, MessageTooLargeError, ConfigurationError (of a header) */
  encode(topic: string, payload: unknown, options: MessageOptions, definition?: EventDefinition): Message {
    const { serializer, maxMessageBytes, service } = this.options;
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
    if (options.replyTo !== undefined) message.replyTo = options.replyTo;
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
