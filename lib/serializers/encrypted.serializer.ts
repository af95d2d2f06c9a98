import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { codingsOf, joinCodings, mediaTypeOf } from '../core/content-codings.js';
import { Described } from '../core/described.js';
import { encodedOf } from '../core/encoded-body.js';
import { ConfigurationError, DecodeError } from '../core/errors.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import { EncryptionKeys, type EncryptionOptions } from './encryption-keys.js';
import { assertInner } from './inner-serializer.js';

const CODING = 'aes256gcm';
const CIPHER = 'aes-256-gcm';
const VERSION = 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The version and the length of the key id. */
const PREFIX_BYTES = 2;
/** In the place of a length. */
const ABSENT = 0xffff_ffff;
/** In front of all that is authenticated, so that the key says nothing about what another protocol does with it. */
const PURPOSE = 'nestjs-event-bus aes256gcm';

/**
 * A serializer whose bodies are encrypted with AES-256-GCM: content encoding `aes256gcm`. The id, source, key, topic, type and
 * version of the message, its content type and the codings underneath are authenticated with the body: it can be read as nothing
 * else than what was published, and a copy has the id that `idempotent` handlers know. Not authenticated are the times (also
 * `expiresAt`: a replay of dead letters takes it away), the headers, the correlation and causation ids and `replyTo`. It reads only
 * what is encrypted with one of its keys; a plain body is not accepted. To rotate, add the new key everywhere, make it the active
 * one, and remove the old one when no message in it is left in queues or dead letters.
 *
 * The body is a version byte (2), the length of the key id in a byte, the key id, a random nonce of 12 bytes, the ciphertext, and
 * the tag of 16 bytes. Use a key for at most 2^32 messages (50 days at 1 000 in a second): then nonces may repeat. Only the body is
 * encrypted; a copy of a message is as good as the message, so handlers that must not do a thing twice stay idempotent.
 *
 * @throws ConfigurationError for keys that are not 32 bytes, an active one that is missing, a serializer that already encrypts,
 * and one that reads headers, as CloudEvents of the mode `binary` do: they would not be authenticated
 * @example
 * encrypted(compressed(new JsonSerializer()), { keys: { '2026-11': process.env.EVENT_KEY }, activeKeyId: '2026-11' })
 */
export function encrypted(inner: Serializer, options: EncryptionOptions): Serializer {
  assertInner('encrypted()', inner);
  if ((inner.contentEncodings ?? []).some((codings) => codingsOf(codings).includes(CODING)))
    throw new ConfigurationError('encrypted(encrypted(…)): a body is encrypted once. Leave out one of them.');
  if (inner.usesHeaders)
    throw new ConfigurationError(
      "encrypted(…): the serializer in it reads headers, which are not authenticated. Use mode 'structured' for CloudEvents.",
    );
  return new EncryptedSerializer(inner, new EncryptionKeys(options));
}

class EncryptedSerializer extends Described implements Serializer {
  readonly contentType: string;
  readonly contentTypeAliases: readonly string[];
  readonly contentEncodings: readonly string[];

  constructor(
    private readonly inner: Serializer,
    private readonly keys: EncryptionKeys,
  ) {
    super();
    this.contentType = inner.contentType;
    this.contentTypeAliases = inner.contentTypeAliases ?? [];
    this.contentEncodings = (inner.contentEncodings ?? ['']).map((codings) =>
      joinCodings(codingsOf(`${codings},${CODING}`)),
    );
  }

  encode(payload: unknown, head: MessageHead): EncodedBody {
    const plain = encodedOf(this.inner.encode(payload, head));
    const codings = codingsOf(plain.contentEncoding);
    const { activeId, active } = this.keys;
    const idBytes = Buffer.from(activeId, 'latin1');
    const nonce = randomFillSync(Buffer.alloc(NONCE_BYTES));
    const cipher = createCipheriv(CIPHER, active, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(bound(activeId, head, mediaTypeOf(plain.contentType ?? this.contentType), codings));
    const parts = [Buffer.of(VERSION, idBytes.byteLength), idBytes, nonce, cipher.update(plain.body), cipher.final()];
    const body = Buffer.concat([...parts, cipher.getAuthTag()]);
    return { ...plain, body, contentEncoding: joinCodings([...codings, CODING]) };
  }

  decode(body: Uint8Array, head: MessageHead): unknown {
    const codings = codingsOf(head.contentEncoding);
    // the bus has looked at it already; whoever calls this by hand gets no plain body through either
    if (codings.at(-1) !== CODING) throw new DecodeError('The body is not encrypted.');
    const before = codings.slice(0, -1);
    const type = mediaTypeOf(head.contentType) || this.contentType;
    const plain = this.open(body, (id) => bound(id, head, type, before));
    const { contentEncoding: _, ...rest } = head;
    return this.inner.decode(plain, before.length === 0 ? rest : { ...rest, contentEncoding: joinCodings(before) });
  }

  toJSON(): unknown {
    const { contentType, contentEncodings, keys } = this;
    return { contentType, contentEncodings, keyIds: keys.ids, activeKeyId: keys.activeId };
  }

  private open(body: Uint8Array, boundTo: (keyId: string) => Uint8Array): Uint8Array {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    const idEnd = PREFIX_BYTES + (bytes[1] ?? 0);
    const begin = idEnd + NONCE_BYTES;
    const end = bytes.byteLength - TAG_BYTES;
    if (end < begin) throw new DecodeError('The body is too short to be encrypted.');
    if (bytes[0] !== VERSION) throw new DecodeError('The body is encrypted in a format that is not known here.');
    const id = bytes.toString('latin1', PREFIX_BYTES, idEnd);
    const key = this.keys.get(id);
    // the id is what somebody else has written: it is not repeated
    if (!key) throw new DecodeError('The body is encrypted with a key that is not known here.');
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(idEnd, begin), { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(id));
    decipher.setAuthTag(bytes.subarray(end));
    const plain = decipher.update(bytes.subarray(begin, end));
    try {
      decipher.final();
    } catch {
      throw new DecodeError(
        'The body cannot be decrypted: it was changed, is under another id, topic, type, source or key than it was published with, or was encrypted with another key.',
      );
    }
    return plain;
  }
}

/**
 * What is authenticated besides the body: each part with its length in front, in four bytes, so that none can be taken for another;
 * what is absent has the length 2^32 - 1.
 */
function bound(keyId: string, head: MessageHead, contentType: string, codings: readonly string[]): Uint8Array {
  const { id, source, key, topic, type, version } = head;
  const versionText = version === undefined ? undefined : String(version);
  const parts = [
    PURPOSE,
    String(VERSION),
    keyId,
    id,
    source,
    key,
    topic,
    type,
    versionText,
    contentType,
    joinCodings(codings),
  ];
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part ?? '');
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part === undefined ? ABSENT : bytes.byteLength);
      return [length, bytes];
    }),
  );
}
