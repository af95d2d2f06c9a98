import { createSecretKey, type KeyObject } from 'node:crypto';
import { types } from 'node:util';
import { ConfigurationError } from '../core/errors.js';
import { shape, text } from '../core/options.js';

/** 32 bytes, as they are or as text in hexadecimal (64 digits) or base64 (also the URL-safe one). */
export type EncryptionKey = Uint8Array | string;

export interface EncryptionOptions {
  /**
   * The keys by their ids, which go over the wire: 1 to 64 printable ASCII characters without spaces. All of them decrypt. Make
   * one with `openssl rand -base64 32`.
   */
  readonly keys: Readonly<Record<string, EncryptionKey>>;
  /** The id of the key that encrypts. */
  readonly activeKeyId: string;
}

const KEY_BYTES = 32;
const KEY_ID = /^[\x21-\x7e]{1,64}$/;
const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

const SHAPE = shape({
  // what is in it is looked at below: no key may come into a text
  keys: () => undefined,
  activeKeyId: text(KEY_ID, 'the id of one of the keys'),
});

/** Keys that nothing prints: they are kept as key objects, which show neither themselves nor their bytes. */
export class EncryptionKeys {
  readonly activeId: string;
  readonly active: KeyObject;
  private readonly byId = new Map<string, KeyObject>();

  /** @throws ConfigurationError with all problems at once, naming ids and never keys */
  constructor(options: EncryptionOptions) {
    const problems: string[] = [];
    SHAPE(options, 'encrypted', problems);
    const { keys, activeKeyId } = (options ?? {}) as Partial<EncryptionOptions>;
    if (typeof keys !== 'object' || keys === null) problems.push('encrypted.keys must be an object: key ids and keys.');
    for (const [index, [id, key]] of Object.entries(keys ?? {}).entries()) {
      if (!KEY_ID.test(id)) {
        // whoever mixes up id and key would read the key
        problems.push(`encrypted.keys: the id of number ${index + 1} must be 1 to 64 printable ASCII characters.`);
        continue;
      }
      const bytes = bytesOf(key);
      if (bytes) this.byId.set(id, createSecretKey(bytes));
      else
        problems.push(
          `encrypted.keys: number ${index + 1} must be ${KEY_BYTES} bytes, as a Uint8Array or as text in base64 or hexadecimal. Make one with: openssl rand -base64 32`,
        );
    }
    const active = this.byId.get(String(activeKeyId));
    if (problems.length === 0 && !active)
      problems.push('encrypted.activeKeyId must be the id of one of encrypted.keys.');
    if (problems.length > 0 || !active) throw new ConfigurationError(problems);
    this.activeId = String(activeKeyId);
    this.active = active;
  }

  get(id: string): KeyObject | undefined {
    return this.byId.get(id);
  }

  get ids(): readonly string[] {
    return [...this.byId.keys()];
  }
}

function bytesOf(key: unknown): Uint8Array | undefined {
  if (types.isUint8Array(key)) return key.byteLength === KEY_BYTES ? key : undefined;
  if (typeof key !== 'string') return undefined;
  if (HEX.test(key)) return Buffer.from(key, 'hex');
  return BASE64.test(key) ? Buffer.from(key, 'base64') : undefined;
}
