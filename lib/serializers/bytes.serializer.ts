import { types } from 'node:util';
import type { Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';

/**
 * Bytes as they are, `application/octet-stream`: a `Uint8Array` (a `Buffer` is one) out, a `Uint8Array` in. Both ways they are
 * copied, so that what a publisher or a handler does with its bytes changes no message.
 */
export class BytesSerializer implements Serializer {
  readonly contentType = 'application/octet-stream';

  encode(payload: unknown): Uint8Array {
    if (types.isUint8Array(payload)) return new Uint8Array(payload);
    throw unserializable('only a Uint8Array (or Buffer) can be written as bytes');
  }

  decode(body: Uint8Array): unknown {
    return new Uint8Array(body);
  }
}
