import { isUtf8 } from 'node:buffer';
import { DecodeError } from '../core/errors.js';
import { hazardOf, JSON_HAZARDS } from './json.hazard.js';

/** JSON in UTF-8 that anybody may have written. @throws DecodeError, never quoting the body */
export function parseJson(body: Uint8Array): unknown {
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
  if (hazard) throw new DecodeError(`The body ${JSON_HAZARDS[hazard]}.`);
  return value;
}
