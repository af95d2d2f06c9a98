import type { Headers, Message } from './message.js';

/** A message without its body: what a serializer may know besides the payload. */
export type MessageHead = Omit<Message, 'body'>;

/** A body with what its message must say of it. */
export interface EncodedBody {
  readonly body: Uint8Array;
  /** Default: `contentType` of the serializer. */
  readonly contentType?: string;
  /** Which codings were applied, in their order, as HTTP writes them: `gzip, aes256gcm`. Default: none. */
  readonly contentEncoding?: string;
  /** Go along with the headers that the publisher gave, and win over them. */
  readonly headers?: Headers;
}

/**
 * Payload to bytes and back. `decode` must throw for bytes that it does not understand, and give plain data only: no class
 * is chosen by what comes over the wire. It is given only bodies whose content type and codings it has named.
 *
 * Both are synchronous: a promise from `encode` is refused with `UNSERIALIZABLE`, one from `decode` makes the body undecodable.
 */
export interface Serializer {
  /** Media type without parameters, in lower case. */
  readonly contentType: string;
  /** Other names of that type, which it reads as well: older ones mostly. Default: none. */
  readonly contentTypeAliases?: readonly string[];
  /** The codings that it reads, each as `contentEncoding` has it; `''` is none. Default: none alone. */
  readonly contentEncodings?: readonly string[];
  /**
   * Whether it keeps in headers what it reads again. Headers are not authenticated, so it cannot be encrypted. Default `false`.
   */
  readonly usesHeaders?: boolean;
  encode(payload: unknown, head: MessageHead): Uint8Array | EncodedBody;
  decode(body: Uint8Array, head: MessageHead): unknown;
}
