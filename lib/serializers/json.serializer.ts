import type { Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';
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
      throw unserializable(why, { cause });
    }
    if (json === undefined) throw unserializable(`a ${typeof payload} cannot be written as JSON`);
    const text = json;
    const hazard = hazardOf(text, () => JSON.parse(text));
    // no consumer would take it
    if (hazard) throw unserializable(`it ${JSON_HAZARDS[hazard]}`);
    return Buffer.from(text);
  }

  decode(body: Uint8Array): unknown {
    return parseJson(body);
  }
}
