import { ValidationError } from '../core/errors.js';
import type { Serializer } from '../core/serializer.js';
import { hazardOf, JSON_HAZARDS } from './json.hazard.js';
import { parseJson } from './json.parser.js';

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
      throw new ValidationError(`The payload was not published: it ${JSON_HAZARDS[hazard]}.`, [], {}, 'UNSERIALIZABLE');
    }
    return Buffer.from(text);
  }

  decode(body: Uint8Array): unknown {
    return parseJson(body);
  }
}
