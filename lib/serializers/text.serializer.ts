import { isUtf8 } from 'node:buffer';
import { toUSVString } from 'node:util';
import { DecodeError } from '../core/errors.js';
import type { MessageHead, Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';

const CHARSET = /;\s*charset\s*=\s*"?([^\s";]+)/i;
const READ: readonly string[] = ['utf-8', 'utf8', 'us-ascii'];

/**
 * Text in UTF-8, `text/plain`: a string out and in, nothing added. What is not UTF-8, or says that it is written otherwise,
 * is refused rather than read wrongly.
 */
export class TextSerializer implements Serializer {
  readonly contentType = 'text/plain';

  encode(payload: unknown): Uint8Array {
    if (typeof payload !== 'string') {
      throw unserializable(`${payload === null ? 'null' : `a value of the type ${typeof payload}`} is no text`);
    }
    // half a surrogate pair would silently come out as another character
    if (toUSVString(payload) !== payload)
      throw unserializable('it has half a surrogate pair, which UTF-8 cannot write');
    return Buffer.from(payload);
  }

  decode(body: Uint8Array, head?: MessageHead): unknown {
    const [, charset = 'utf-8'] = CHARSET.exec(head?.contentType ?? '') ?? [];
    if (!READ.includes(charset.toLowerCase())) throw new DecodeError('The body is text in another charset than UTF-8.');
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    if (!isUtf8(bytes)) throw new DecodeError(`The body is not valid UTF-8 (${body.byteLength} bytes).`);
    return bytes.toString('utf8');
  }
}
