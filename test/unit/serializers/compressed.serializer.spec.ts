import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { DecodeError, MessageTooLargeError } from '../../../lib/core/errors.js';
import type { EncodedBody, Serializer } from '../../../lib/core/serializer.js';
import { type CompressionOptions, compressed } from '../../../lib/serializers/compressed.serializer.js';
import { encrypted } from '../../../lib/serializers/encrypted.serializer.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { caught, problemsOf } from '../support/caught.js';
import { aMessage } from '../support/message.js';
import { ALLOWED_OUTCOMES, outcomeOf } from '../support/plain.js';

const json = new JsonSerializer();
const MIB = 1_048_576;
const LARGE = { text: 'as before '.repeat(1_000) };

/** As the bus publishes it. */
function published(serializer: Serializer, payload: unknown): EncodedBody {
  const encoded = serializer.encode(payload, aMessage());
  return encoded instanceof Uint8Array ? { body: encoded } : encoded;
}

function received(serializer: Serializer, { body, contentEncoding }: EncodedBody): unknown {
  const message = aMessage({ body, ...(contentEncoding !== undefined && { contentEncoding }) });
  return new MessageDecoder([serializer]).decode(message);
}

describe.each([
  ['gzip', 'gzip'],
  ['brotli', 'br'],
] as const)('compressed with %s', (algorithm, coding) => {
  const serializer = compressed(json, { algorithm });

  it('packs large bodies, and says so', () => {
    const encoded = published(serializer, LARGE);
    expect(encoded.contentEncoding).toBe(coding);
    expect(encoded.body.byteLength).toBeLessThan(500);
    expect(received(serializer, encoded)).toEqual(LARGE);
  });

  it('leaves small bodies and those that do not get smaller as they are', () => {
    expect(published(serializer, { a: 1 })).toEqual({ body: json.encode({ a: 1 }) });
    const random = Array.from({ length: 30 }, (_, i) => (i * 7_919) % 97);
    expect(published(compressed(json, { algorithm, minBytes: 0 }), random.slice(0, 3)).contentEncoding).toBeUndefined();
  });

  it('gives back every payload', () => {
    const eager = compressed(json, { algorithm, minBytes: 0, level: 1 });
    fc.assert(
      fc.property(fc.string(), fc.nat({ max: 500 }), (text, times) => {
        const payload = text.repeat(times);
        expect(received(eager, published(eager, payload))).toBe(payload);
      }),
    );
  });

  it('reads gzip, brotli and plain bodies, whatever it writes', () => {
    const body = json.encode(LARGE);
    expect(received(serializer, { body })).toEqual(LARGE);
    expect(received(serializer, { body: gzipSync(body), contentEncoding: 'gzip' })).toEqual(LARGE);
    expect(received(serializer, { body: brotliCompressSync(body), contentEncoding: 'BR' })).toEqual(LARGE);
  });

  it('stops a body that is too large when it is unpacked, at the limit', () => {
    const bomb = Buffer.alloc(64 * MIB, '0');
    const packed = algorithm === 'gzip' ? gzipSync(bomb) : brotliCompressSync(bomb);
    expect(packed.byteLength).toBeLessThan(100_000);
    const error = caught(() => received(serializer, { body: packed, contentEncoding: coding }));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error.message).toBe('The body has more than 1048576 bytes when it is unpacked.');
    const exact = compressed(json, { algorithm, maxBytes: 100, minBytes: 0 });
    const fits = 'x'.repeat(98);
    expect(received(exact, published(exact, fits))).toBe(fits);
    expect(caught(() => published(exact, `${fits}x`))).toBeInstanceOf(MessageTooLargeError);
    expect(caught(() => received(exact, published(serializer, 'x'.repeat(5_000))))).toBeInstanceOf(DecodeError);
  });

  it.each<[string, (packed: Buffer) => Uint8Array]>([
    ['nothing', () => Buffer.of()],
    ['half of it', (packed) => packed.subarray(0, packed.byteLength >> 1)],
    ['another packing', () => deflateSync(json.encode(LARGE))],
    ['JSON itself', () => json.encode(LARGE)],
  ])('refuses %s as a body', (_, make) => {
    const { body } = published(serializer, LARGE);
    const error = caught(() => received(serializer, { body: make(Buffer.from(body)), contentEncoding: coding }));
    expect(error).toBeInstanceOf(DecodeError);
    expect(error.cause).toBeUndefined();
  });

  it('gives a payload or a DecodeError for any bytes', () => {
    const packed = Buffer.from(published(serializer, LARGE).body);
    fc.assert(
      fc.property(fc.nat({ max: packed.byteLength - 1 }), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const body = Buffer.from(packed);
        body[at] = (body[at] ?? 0) ^ bits;
        const outcome = outcomeOf(() => received(serializer, { body, contentEncoding: coding }));
        expect(ALLOWED_OUTCOMES).toContain(outcome);
      }),
    );
  });
});

describe('brotli with a large window', () => {
  const pack = (bits: number): Uint8Array =>
    brotliCompressSync(json.encode(LARGE), { params: { [constants.BROTLI_PARAM_LGWIN]: bits } });

  it.each([10, 16, 17, 18, 22])('of 2^%d bytes is read', (bits) => {
    expect(received(compressed(json), { body: pack(bits), contentEncoding: 'br' })).toEqual(LARGE);
  });

  it.each([23, 24])('of 2^%d bytes is not, unless bodies may be so large', (bits) => {
    const encoded = { body: pack(bits), contentEncoding: 'br' };
    expect(caught(() => received(compressed(json), encoded)).message).toMatch(/window of more than 2\^22 bytes/);
    expect(received(compressed(json, { maxBytes: 2 ** 24 }), encoded)).toEqual(LARGE);
  });
});

describe('compressed', () => {
  it('names what it reads', () => {
    expect(compressed(json).contentEncodings).toEqual(['', 'gzip', 'br']);
    expect(compressed(json).contentType).toBe('application/json');
  });

  it.each<[string, object, RegExp]>([
    ['another algorithm', { algorithm: 'zip' }, /compressed\.algorithm/],
    ['a negative size', { minBytes: -1 }, /compressed\.minBytes/],
    ['no size', { maxBytes: 0 }, /compressed\.maxBytes/],
    ['level 10 of gzip', { level: 10 }, /at most 9 for gzip/],
    ['an unknown option', { quality: 1 }, /compressed\.quality is not an option/],
  ])('refuses %s', (_, options, problem) => {
    expect(problemsOf(() => compressed(json, options as CompressionOptions)).join()).toMatch(problem);
  });

  it('refuses what is encrypted, or packed already', () => {
    const sealed = encrypted(json, { keys: { a: Buffer.alloc(32, 1) }, activeKeyId: 'a' });
    expect(problemsOf(() => compressed(sealed))).toEqual([expect.stringContaining('encrypted(compressed(…))')]);
    expect(problemsOf(() => compressed(compressed(json)))).toEqual([expect.stringContaining('packed once')]);
  });
});
