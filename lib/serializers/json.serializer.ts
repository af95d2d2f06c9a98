import { isUtf8 } from 'node:buffer';
import { DecodeError, ValidationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Serializer } from '../core/serializer.js';
import { hazardOf, type JsonHazard } from './json.hazard.js';

const WHY: Readonly<Record<JsonHazard, string>> = {
  depth: `is nested deeper than ${LIMITS.depth} levels`,
  prototype: 'has a property "__proto__", or "constructor" with a "prototype" in it',
};

/**
 * JSON in UTF-8, as RFC 8259 has it: without a byte order mark, and at most 1,000 levels deep. Names by which a prototype
 * could be changed are refused, both ways. `undefined` as a payload is sent as `null`.
 */
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
    const text = json;
    const hazard = hazardOf(text, () => JSON.parse(text));
    if (hazard) {
      // no consumer would take it
      throw new ValidationError(`The payload was not published: it ${WHY[hazard]}.`, [], {}, 'UNSERIALIZABLE');
    }
    return Buffer.from(text);
  }

  decode(body: Uint8Array): unknown {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    // decoding would silently put U+FFFD in place of what is not UTF-8
    if (!isUtf8(bytes)) throw new DecodeError(`The body is not valid UTF-8 (${body.byteLength} bytes).`);
    const json = bytes.toString('utf8');
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      // the engine's own text quotes the body, so it is not kept
      throw new DecodeError(`The body is not valid JSON (${body.byteLength} bytes).`);
    }
    const hazard = hazardOf(json, () => value);
    if (hazard) throw new DecodeError(`The body ${WHY[hazard]}.`);
    return value;
  }
}
