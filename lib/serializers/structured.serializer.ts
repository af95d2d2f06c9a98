import type { Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';
import { hazardOf, JSON_HAZARDS } from './json.hazard.js';
import { parseJson } from './json.parser.js';
import { StructuredReader } from './structured.reader.js';
import { StructuredWriter } from './structured.writer.js';

/**
 * Payloads that JSON has no form for: Map, Set, Date, BigInt, undefined, NaN, infinities and -0, ArrayBuffer, typed arrays and
 * Buffer, values that are there more than once, and cycles. They come out as they went in. No class is ever made of what comes over
 * the wire: an instance is written as its own enumerable properties (or what its `toJSON` gives) and arrives as a plain object, an
 * Error with its name, message and cause. Functions, symbols, RegExp, Promises and weak collections are refused.
 *
 * It is JSON: what JSON has a form for is written as JSON has it, all else as an object whose one property begins with `$`
 * (`{ "$date": "2026-…" }`, `$map`, `$set`, `$bigint`, `$number`, `$undefined`, `$binary` with `$type` in base64, `$ref` to the
 * `$id` of another). Names of the payload that begin with `$` get another one in front. Bounds as in JSON; besides, at most
 * 1,000,000 values with references unfolded, and 5,000 numbers as keys of a Map or members of a Set.
 */
export class StructuredSerializer implements Serializer {
  readonly contentType = 'application/vnd.nestjs-event-bus.structured+json';

  encode(payload: unknown): Uint8Array {
    const json = toJson(payload);
    const hazard = hazardOf(json, () => JSON.parse(json));
    if (hazard) throw unserializable(`it ${JSON_HAZARDS[hazard]}`);
    return Buffer.from(json);
  }

  decode(body: Uint8Array): unknown {
    return new StructuredReader().read(parseJson(body));
  }
}

function toJson(payload: unknown): string {
  try {
    return JSON.stringify(new StructuredWriter().write(payload));
  } catch (cause) {
    if ((cause as { readonly code?: unknown } | undefined)?.code === 'UNSERIALIZABLE') throw cause;
    // what a getter or a toJSON has thrown
    throw unserializable('it cannot be written as structured data', { cause });
  }
}
