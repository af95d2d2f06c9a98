import { codingsOf, joinCodings, mediaTypeOf } from '../core/content-codings.js';
import { decodedOf } from '../core/encoded-body.js';
import { ConfigurationError, DecodeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Message } from '../core/message.js';
import type { Serializer } from '../core/serializer.js';

const PLAIN: readonly string[] = [''];

/**
 * The payload of a message, within the bounds that hold for all: a message says how it is written, and cannot choose a decoder
 * that is not there.
 */
export class MessageDecoder {
  private readonly readers = new Map<string, Serializer>();
  private readonly first: Serializer;
  /** Whether a body as most have it, of the first type and without codings, is the first one's. */
  private readonly isFirstPlain: boolean;

  /**
   * @param serializers those that are believed; the first one also reads messages that do not say how they are written
   * @throws ConfigurationError for one that would never be asked
   */
  constructor(
    serializers: readonly [Serializer, ...Serializer[]],
    readonly maxMessageBytes: number = LIMITS.messageBytes,
  ) {
    this.first = serializers[0];
    for (const [index, serializer] of serializers.entries()) this.add(serializer, index);
    this.isFirstPlain = this.readers.get(keyOf(this.first.contentType, '')) === this.first;
  }

  /** The first one that reads a type and a coding is asked for it. */
  private add(serializer: Serializer, index: number): void {
    const { contentType, contentTypeAliases = [], contentEncodings = PLAIN } = serializer;
    let isAsked = false;
    for (const coding of contentEncodings) {
      for (const type of index === 0
        ? ['', contentType, ...contentTypeAliases]
        : [contentType, ...contentTypeAliases]) {
        const key = keyOf(type, coding);
        if (this.readers.has(key)) continue;
        this.readers.set(key, serializer);
        isAsked = true;
      }
    }
    if (isAsked) return;
    const [coding = ''] = contentEncodings;
    throw new ConfigurationError(
      `accept[${index - 1}] would never be asked: \`serializer\`, or one before it in \`accept\`, reads ${contentType}${coding === '' ? '' : ` (${coding})`} already. Leave it out. For a second key, add it to \`keys\` of encrypted(); for bodies that are no CloudEvents, set \`acceptPlain\` of the CloudEventsSerializer.`,
    );
  }

  /** @throws DecodeError, never quoting the body */
  decode(message: Message): unknown {
    const { body, contentType, contentEncoding } = message;
    if (body.byteLength > this.maxMessageBytes) {
      throw new DecodeError(`The body has ${body.byteLength} bytes; the limit is ${this.maxMessageBytes}.`);
    }
    if (this.isFirstPlain && contentEncoding === undefined && contentType === this.first.contentType)
      return read(this.first, message);
    const type = mediaTypeOf(contentType);
    // says something, but nothing that has a meaning: not the same as to say nothing
    if (type === '' && contentType !== '') throw new DecodeError('The content type is not one that this bus decodes.');
    const coding = contentEncoding === undefined ? '' : joinCodings(codingsOf(contentEncoding));
    const serializer = this.readers.get(keyOf(type, coding));
    if (serializer) return read(serializer, message);
    const isTypeKnown = [...this.readers.keys()].some((key) => key.startsWith(`${type}\n`));
    throw new DecodeError(`The content ${isTypeKnown ? 'encoding' : 'type'} is not one that this bus decodes.`);
  }
}

/** The decoder of a bus: what it publishes, and what else it is told to read. */
export function decoderOf(parts: {
  readonly serializer: Serializer;
  readonly accept?: readonly Serializer[] | undefined;
  readonly options: { readonly publish: { readonly maxMessageBytes: number } };
}): MessageDecoder {
  return new MessageDecoder([parts.serializer, ...(parts.accept ?? [])], parts.options.publish.maxMessageBytes);
}

function keyOf(contentType: string, coding: string): string {
  return `${contentType}\n${coding}`;
}

/** What a user's serializer throws is a body that it cannot read. */
function read(serializer: Serializer, message: Message): unknown {
  try {
    return decodedOf(serializer.decode(message.body, message));
  } catch (cause) {
    throw cause instanceof DecodeError ? cause : new DecodeError('The body cannot be decoded.', { cause });
  }
}
