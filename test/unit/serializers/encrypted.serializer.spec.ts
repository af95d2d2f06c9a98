import { createCipheriv } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { ConfigurationError, DecodeError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import type { Serializer } from '../../../lib/core/serializer.js';
import { CloudEventsSerializer } from '../../../lib/serializers/cloud-events.serializer.js';
import { compressed } from '../../../lib/serializers/compressed.serializer.js';
import { encrypted } from '../../../lib/serializers/encrypted.serializer.js';
import type { EncryptionOptions } from '../../../lib/serializers/encryption-keys.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { caught, problemsOf } from '../support/caught.js';
import { aMessage } from '../support/message.js';

const json = new JsonSerializer();
const OLD = Buffer.alloc(32, 'c4n4ry-old');
const NEW = Buffer.alloc(32, 'c4n4ry-new');
const old = encrypted(json, { keys: { old: OLD }, activeKeyId: 'old' });
const both = encrypted(json, { keys: { old: OLD, new: NEW }, activeKeyId: 'new' });
const PAYLOAD = { card: '4111', name: 'c4n4ry' };

function published(serializer: Serializer, payload: unknown = PAYLOAD, head: Partial<Message> = {}): Message {
  const message = aMessage({ type: 'order', version: 2, ...head });
  const encoded = serializer.encode(payload, message);
  return { ...message, ...(encoded instanceof Uint8Array ? { body: encoded } : encoded) };
}

const received = (serializer: Serializer, message: Message): unknown =>
  new MessageDecoder([serializer]).decode(message);

describe('encrypted', () => {
  it('gives back every payload, shows nothing of it, and writes each time something else', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8 }), (text) => {
        const message = published(both, text);
        expect(received(both, message)).toBe(text);
        expect(Buffer.from(message.body).includes(text)).toBe(false);
        expect(Buffer.compare(message.body, published(both, text).body)).not.toBe(0);
      }),
    );
  });

  it('has the version, the key id, a nonce of 12 bytes and a tag of 16 around the ciphertext', () => {
    const { body, contentEncoding, contentType } = published(old, 'x');
    expect([contentType, contentEncoding]).toEqual(['application/json', 'aes256gcm']);
    expect([...body.subarray(0, 5)]).toEqual([2, 3, ...Buffer.from('old')]);
    expect(body.byteLength).toBe(2 + 3 + 12 + 3 + 16);
  });

  it('can be written by others, from what is documented', () => {
    const nonce = Buffer.alloc(12, 7);
    const cipher = createCipheriv('aes-256-gcm', OLD, nonce);
    const keyed = published(old, PAYLOAD, { id: 'm-7', key: '' });
    const parts = [
      ...['nestjs-event-bus aes256gcm', '2', 'old', 'm-7', undefined, '', 'orders.created', 'order', '2'],
      ...['application/json', ''],
    ];
    const length = (part: string | undefined): Buffer =>
      part === undefined ? Buffer.alloc(4, 0xff) : Buffer.of(0, 0, 0, part.length);
    cipher.setAAD(Buffer.concat(parts.flatMap((part) => [length(part), Buffer.from(part ?? '')])));
    const sealed = Buffer.concat([cipher.update('{"a":1}'), cipher.final()]);
    const body = Buffer.concat([Buffer.of(2, 3), Buffer.from('old'), nonce, sealed, cipher.getAuthTag()]);
    expect(received(old, { ...keyed, body })).toEqual({ a: 1 });
  });

  it('rotates: an old key still decrypts, a new one is not known to those who do not have it', () => {
    expect(received(both, published(old))).toEqual(PAYLOAD);
    expect(caught(() => received(old, published(both))).message).toBe(
      'The body is encrypted with a key that is not known here.',
    );
  });

  it('packs before it encrypts', () => {
    const packed = encrypted(compressed(json, { minBytes: 0 }), { keys: { old: OLD }, activeKeyId: 'old' });
    const large = 'as before '.repeat(1_000);
    const message = published(packed, large);
    expect(message.contentEncoding).toBe('gzip, aes256gcm');
    expect(message.body.byteLength).toBeLessThan(300);
    expect(received(packed, message)).toBe(large);
    expect(packed.contentEncodings).toEqual(['aes256gcm', 'gzip, aes256gcm', 'br, aes256gcm']);
    for (const contentEncoding of ['aes256gcm', 'br, aes256gcm', 'aes256gcm, gzip', 'gzip'])
      expect(caught(() => received(packed, { ...message, contentEncoding }))).toBeInstanceOf(DecodeError);
    // one that does not pack reads nothing that is packed
    expect(caught(() => received(old, message))).toBeInstanceOf(DecodeError);
  });

  it('reads the same body after what a transport or a replay changes on the way', () => {
    const { expiresAt: _, ...message } = published(both, PAYLOAD, { source: 'shop', key: 'k', expiresAt: 7 });
    const changed = {
      ...message,
      timestamp: 5,
      headers: { added: 1 },
      correlationId: 'other',
      replyTo: 'other',
      contentType: 'Application/JSON; charset=utf-8',
      contentEncoding: 'AES256GCM',
    };
    expect(received(both, changed)).toEqual(PAYLOAD);
    expect(received(both, { ...message, contentType: '' })).toEqual(PAYLOAD);
  });

  it.each<[string, Partial<Message>]>([
    ['another topic', { topic: 'orders.cancelled' }],
    ['no topic', { topic: '' }],
    ['another type', { type: 'refund' }],
    ['no type', { type: '' }],
    ['topic and type exchanged', { topic: 'order', type: 'orders.created' }],
    ['letters moved between them', { topic: 'orders.create', type: 'dorder' }],
    ['another version', { version: 1 }],
    ['another id', { id: 'other' }],
    ['no id', { id: '' }],
    ['another source', { source: 'other' }],
    ['an empty source', { source: '' }],
    ['another key', { key: 'other' }],
    ['an empty key', { key: '' }],
    ['source and key exchanged', { source: 'k', key: 'shop' }],
    ['no coding', { contentEncoding: '' }],
    ['another coding', { contentEncoding: 'gzip' }],
    ['one coding more', { contentEncoding: 'gzip, aes256gcm' }],
    ['the coding twice', { contentEncoding: 'aes256gcm, aes256gcm' }],
    ['another content type', { contentType: 'text/plain' }],
  ])('refuses a body under %s', (_, head) => {
    const message = published(both, PAYLOAD, { source: 'shop', key: 'k' });
    expect(received(both, message)).toEqual(PAYLOAD);
    expect(caught(() => received(both, { ...message, ...head }))).toBeInstanceOf(DecodeError);
  });

  it.each(['version', 'source', 'key'] as const)(
    'tells a %s that is not there from one that is, or is empty',
    (name) => {
      const value = name === 'version' ? 2 : '';
      const { [name]: _, ...without } = aMessage({ type: 'order', version: 2 });
      const present = { ...without, [name]: value };
      const seal = (head: Message): Message => ({ ...head, ...(both.encode(PAYLOAD, head) as object) });
      expect(received(both, seal(without))).toEqual(PAYLOAD);
      expect(received(both, seal(present))).toEqual(PAYLOAD);
      const { [name]: __, ...taken } = seal(present);
      expect(caught(() => received(both, taken as Message))).toBeInstanceOf(DecodeError);
      expect(caught(() => received(both, { ...seal(without), [name]: value }))).toBeInstanceOf(DecodeError);
    },
  );

  it('refuses a plain body, whoever asks', () => {
    const { contentEncoding: _, ...plain } = { ...published(both), body: json.encode(PAYLOAD) };
    expect(caught(() => received(both, plain)).message).toBe('The content encoding is not one that this bus decodes.');
    expect(caught(() => both.decode(plain.body, plain)).message).toBe('The body is not encrypted.');
    expect(caught(() => received(both, { ...plain, contentEncoding: 'aes256gcm' }))).toBeInstanceOf(DecodeError);
  });

  it('refuses a body with any bit changed, cut anywhere, or longer', () => {
    const message = published(both);
    const { body } = message;
    const refuse = (changed: Uint8Array): void => {
      const error = caught(() => received(both, { ...message, body: changed }));
      expect(error).toBeInstanceOf(DecodeError);
      expect(inspect(error, { depth: 9 })).not.toContain('c4n4ry');
    };
    for (let bit = 0; bit < body.byteLength * 8; bit++) {
      const changed = Buffer.from(body);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      refuse(changed);
    }
    for (let size = 0; size < body.byteLength; size++) refuse(body.subarray(0, size));
    refuse(Buffer.concat([body, Buffer.of(0)]));
    refuse(Buffer.concat([body, body]));
  });

  it('gives a DecodeError for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (body) => {
        expect(caught(() => received(both, { ...published(both), body }))).toBeInstanceOf(DecodeError);
      }),
    );
  });
});

describe('keys', () => {
  const options = (key: unknown): EncryptionOptions => ({ keys: { k: key }, activeKeyId: 'k' }) as EncryptionOptions;

  it.each<[string, unknown]>([
    ['bytes', new Uint8Array(NEW)],
    ['hexadecimal', NEW.toString('hex').toUpperCase()],
    ['base64', NEW.toString('base64')],
    ['base64 without padding', NEW.toString('base64').replace('=', '')],
    ['URL-safe base64', NEW.toString('base64url')],
  ])('are taken as %s', (_, key) => {
    const reference = encrypted(json, options(NEW));
    expect(received(reference, published(encrypted(json, options(key))))).toEqual(PAYLOAD);
  });

  it('are copied: what is done with the bytes afterwards changes nothing', () => {
    const key = Buffer.from(NEW);
    const serializer = encrypted(json, options(key));
    key.fill(0);
    expect(received(encrypted(json, options(NEW)), published(serializer))).toEqual(PAYLOAD);
  });

  it.each<[string, object, RegExp]>([
    ['16 bytes', options(Buffer.alloc(16, 'c4n4ry')), /number 1 must be 32 bytes.*openssl rand/],
    ['33 bytes', options(Buffer.alloc(33, 'c4n4ry')), /must be 32 bytes/],
    ['a password', options('c4n4ry-c4n4ry-c4n4ry-c4n4ry-c4n4'), /must be 32 bytes/],
    ['an empty text', options(''), /must be 32 bytes/],
    ['nothing, as an unset variable is', options(undefined), /must be 32 bytes/],
    ['a number', options(5), /must be 32 bytes/],
    ['a key as the id', { keys: { [NEW.toString('base64').repeat(2)]: NEW }, activeKeyId: 'k' }, /the id of number 1/],
    ['an id with a blank', { keys: { 'a c4n4ry': NEW }, activeKeyId: 'a c4n4ry' }, /the id of number 1/],
    ['an active id without a key', { keys: { k: NEW }, activeKeyId: 'c4n4ry' }, /activeKeyId must be the id of one/],
    ['an active id that every object has', { keys: { k: NEW }, activeKeyId: 'constructor' }, /activeKeyId/],
    ['no active id', { keys: { k: NEW } }, /activeKeyId/],
    ['no keys', { activeKeyId: 'k' }, /encrypted\.keys must be an object/],
    ['a misspelt option', { keys: { k: NEW }, activeKeyId: 'k', activeKey: 'c4n4ry' }, /activeKey is not an option/],
    ['no options', undefined as unknown as object, /must be an object/],
  ])('refuses %s, without showing it', (_, bad, problem) => {
    const run = (): unknown => encrypted(json, bad as EncryptionOptions);
    expect(problemsOf(run).join('\n')).toMatch(problem);
    expect(inspect(caught(run), { depth: 9 }).replaceAll(/^ +at .*$/gm, '')).not.toMatch(/c4n4ry|YzRuNHJ5/);
  });

  it('refuses CloudEvents of the mode binary, whose attributes nothing would authenticate, either way round', () => {
    const binary = new CloudEventsSerializer({ mode: 'binary' });
    for (const inner of [binary, compressed(binary)]) {
      expect(caught(() => encrypted(inner, options(NEW)))).toBeInstanceOf(ConfigurationError);
      expect(problemsOf(() => encrypted(inner, options(NEW))).join()).toContain("mode 'structured'");
    }
    const inside = (): unknown => new CloudEventsSerializer({ mode: 'binary', data: both });
    expect(problemsOf(inside).join()).toContain("mode: 'structured'");
    expect(encrypted(new CloudEventsSerializer({ mode: 'structured' }), options(NEW)).contentEncodings).toEqual([
      'aes256gcm',
    ]);
  });

  it('refuses to encrypt what is encrypted', () => {
    expect(caught(() => encrypted(both, options(NEW)))).toBeInstanceOf(ConfigurationError);
  });

  it('are printed by nothing', () => {
    const serializer = encrypted(compressed(json), { keys: { old: OLD, new: NEW }, activeKeyId: 'new' });
    const shown = [
      inspect(serializer, { depth: 20, showHidden: true }),
      inspect({ deep: [serializer] }, { depth: 20 }),
      JSON.stringify(serializer),
      JSON.stringify(Object.values(serializer)),
      inspect(Object.values(serializer), { depth: 20, showHidden: true }),
    ].join('\n');
    for (const key of [OLD, NEW]) {
      for (const form of ['utf8', 'hex', 'base64', 'base64url'] as const)
        expect(shown).not.toContain(key.toString(form).slice(0, 16));
      expect(shown).not.toContain([...key.subarray(0, 6)].join(','));
      expect(shown).not.toContain([...key.subarray(0, 6)].join(', '));
    }
    expect(JSON.parse(JSON.stringify(serializer))).toMatchObject({ keyIds: ['old', 'new'], activeKeyId: 'new' });
  });
});
