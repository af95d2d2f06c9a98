import { isUtf8 } from 'node:buffer';
import { DecodeError, ValidationError } from '../core/errors.js';
import type { Serializer } from '../core/serializer.js';

/** JSON in UTF-8. `undefined` as a payload is sent as `null`. */
export class JsonSerializer implements Serializer {
  readonly contentType = 'application/json';

  encode(payload: unknown): Uint8Array {
    let json: string | undefined;
    try {
      json = JSON.stringify(payload === undefined ? null : payload);
    } catch (cause) {
      // the engine's text names the path of a cycle, not values; it is kept as the cause
      const why =
        cause instanceof TypeError && /serialize a BigInt/.test(cause.message)
          ? 'it holds a BigInt'
          : 'it cannot be written as JSON';
      throw new ValidationError(`The payload was not published: ${why}.`, [], { cause }, 'UNSERIALIZABLE');
    }
    if (json === undefined) {
      throw new ValidationError(
        `The payload was not published: a ${typeof payload} cannot be written as JSON.`,
        [],
        {},
        'UNSERIALIZABLE',
      );
    }
    return Buffer.from(json);
  }

  decode(body: Uint8Array): unknown {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    // decoding would silently put U+FFFD in place of what is not UTF-8
    if (!isUtf8(bytes)) throw new DecodeError(`The body is not valid UTF-8 (${body.byteLength} bytes).`);
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch {
      // the engine's own text quotes the body, so it is not kept
      throw new DecodeError(`The body is not valid JSON (${body.byteLength} bytes).`);
    }
  }
}
