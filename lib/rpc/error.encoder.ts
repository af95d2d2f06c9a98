import { MessageEncoder, type MessageEncoderOptions, type MessageOptions } from '../bus/message-encoder.js';
import type { Message } from '../core/message.js';
import { JsonSerializer } from '../serializers/json.serializer.js';
import { LEAST_ERROR_BYTES } from './rpc.wire.js';

/** Codings that hide nothing. */
const OPEN: readonly string[] = ['', 'gzip', 'br'];

/** What is told when the error itself cannot be written. */
const NO_MORE = Object.freeze({ name: 'Error', message: 'The handler failed, and its error cannot be sent.' });

/**
 * Writes what is told of an error as the bus writes payloads; where that cannot be (Protocol Buffers have no schema for it, `details`
 * may hold anything), as plain JSON. A bus that encrypts says nothing in plain.
 */
export class ErrorEncoder {
  private readonly payloads: MessageEncoder;
  private readonly plain: MessageEncoder;
  private readonly isOpen: boolean;

  constructor(options: MessageEncoderOptions) {
    this.payloads = new MessageEncoder(options);
    const maxMessageBytes = Math.max(options.maxMessageBytes, LEAST_ERROR_BYTES);
    this.plain = new MessageEncoder({ ...options, serializer: new JsonSerializer(), maxMessageBytes });
    const { contentEncodings = [] } = options.serializer;
    this.isOpen = contentEncodings.every((codings) => codings.split(', ').every((coding) => OPEN.includes(coding)));
  }

  /** Never throws. */
  encode(topic: string, failure: unknown, options: MessageOptions): Message {
    const { payloads, plain, isOpen } = this;
    return (
      attempt(() => payloads.encode(topic, failure, options)) ??
      (isOpen ? attempt(() => plain.encode(topic, failure, options)) : undefined) ??
      attempt(() => payloads.encode(topic, withoutDetails(failure), options)) ??
      (isOpen ? attempt(() => plain.encode(topic, withoutDetails(failure), options)) : undefined) ??
      plain.encode(topic, NO_MORE, options)
    );
  }
}

/** The next way is the answer to whatever is wrong with this one. */
function attempt(encode: () => Message): Message | undefined {
  try {
    return encode();
  } catch {
    return undefined;
  }
}

function withoutDetails(failure: unknown): unknown {
  const { name, message, code, retryable } = (failure ?? {}) as Readonly<Record<string, unknown>>;
  return { name, message, code, retryable };
}
