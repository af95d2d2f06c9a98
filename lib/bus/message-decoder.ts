import { DecodeError } from '../core/errors.js';
import type { Message } from '../core/message.js';
import type { Serializer } from '../core/serializer.js';

export interface MessageDecoderOptions {
  /** By content type. */
  readonly serializers: ReadonlyMap<string, Serializer>;
  /** For a message that does not say how it is written, too. */
  readonly defaultSerializer: Serializer;
  readonly maxMessageBytes: number;
}

/** The payload of a message, within the bounds that hold for all: a message cannot choose a decoder that is not there. */
export class MessageDecoder {
  constructor(private readonly options: MessageDecoderOptions) {}

  /** @throws DecodeError, never quoting the body */
  decode({ body, contentType, contentEncoding }: Message): unknown {
    const { serializers, defaultSerializer, maxMessageBytes } = this.options;
    if (contentEncoding !== undefined) throw new DecodeError('The content encoding is not one that this bus decodes.');
    if (body.byteLength > maxMessageBytes) {
      throw new DecodeError(`The body has ${body.byteLength} bytes; the limit is ${maxMessageBytes}.`);
    }
    if (contentType === defaultSerializer.contentType || contentType === '') return read(defaultSerializer, body);
    const serializer = serializers.get((contentType.split(';', 1)[0] ?? '').trim().toLowerCase());
    if (!serializer) throw new DecodeError('The content type is not one that this bus decodes.');
    return read(serializer, body);
  }
}

/** What a user's serializer throws is a body that it cannot read. */
function read(serializer: Serializer, body: Uint8Array): unknown {
  try {
    return serializer.decode(body);
  } catch (cause) {
    throw cause instanceof DecodeError ? cause : new DecodeError('The body cannot be decoded.', { cause });
  }
}
