import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError, DecodeError, ValidationError } from '../../../lib/core/errors.js';
import { BytesSerializer } from '../../../lib/serializers/bytes.serializer.js';
import { loadPeer } from '../../../lib/serializers/optional-peer.js';
import {
  createSerializer,
  SERIALIZER_NAMES,
  type SerializerName,
} from '../../../lib/serializers/serializer.factory.js';
import { TextSerializer } from '../../../lib/serializers/text.serializer.js';
import { caught } from '../support/caught.js';
import { aMessage } from '../support/message.js';

describe('TextSerializer', () => {
  const serializer = new TextSerializer();
  const decode = (body: Uint8Array, contentType = 'text/plain'): unknown =>
    serializer.decode(body, aMessage({ contentType }));

  it('gives back every text that is one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(decode(serializer.encode(text))).toBe(text);
      }),
    );
    expect(decode(Buffer.from('\ufeffa'))).toBe('\ufeffa');
  });

  it('gives a text or a DecodeError for any bytes', () => {
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (body) => {
        const outcome = (read: () => unknown): unknown => {
          try {
            return read();
          } catch (error) {
            return ['DecodeError', 'TypeError'].includes((error as Error).name) ? undefined : error;
          }
        };
        expect(outcome(() => decode(body))).toBe(outcome(() => strict.decode(body)));
      }),
    );
  });

  it.each([undefined, null, 1, {}, Buffer.from('a'), 'a\ud800'])('does not write %p', (payload) => {
    expect(caught(() => serializer.encode(payload))).toMatchObject({ name: 'ValidationError', code: 'UNSERIALIZABLE' });
  });

  it('reads UTF-8 only, by whatever name', () => {
    for (const type of [
      'text/plain; charset=utf-8',
      'text/plain;charset="UTF-8"',
      'text/plain; charset=us-ascii; a=b',
      '',
    ])
      expect(decode(Buffer.from('a'), type)).toBe('a');
    expect(caught(() => decode(Buffer.from('a'), 'text/plain; charset=iso-8859-1'))).toBeInstanceOf(DecodeError);
    expect(serializer.decode(Buffer.from('a'))).toBe('a');
  });
});

describe('BytesSerializer', () => {
  const serializer = new BytesSerializer();

  it('gives back all bytes, as copies', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(serializer.decode(serializer.encode(bytes))).toEqual(bytes);
      }),
    );
    const bytes = Buffer.from('abc');
    const body = serializer.encode(bytes);
    bytes.fill(0);
    const read = serializer.decode(body) as Uint8Array;
    body.fill(0);
    expect(Buffer.from(read).toString()).toBe('abc');
    expect(Buffer.isBuffer(read)).toBe(false);
  });

  it.each([undefined, null, 'a', [1], new ArrayBuffer(1), new Uint16Array(1)])('does not write %p', (payload) => {
    expect(caught(() => serializer.encode(payload))).toBeInstanceOf(ValidationError);
  });
});

describe('createSerializer', () => {
  it.each([
    ['json', 'application/json'],
    ['msgpack', 'application/vnd.msgpack'],
    ['structured', 'application/vnd.nestjs-event-bus.structured+json'],
    ['text', 'text/plain'],
    ['bytes', 'application/octet-stream'],
  ] as const)('makes %s', async (name, contentType) => {
    expect(SERIALIZER_NAMES).toContain(name);
    expect(await createSerializer(name)).toMatchObject({ contentType });
  });

  it('knows all its names', async () => {
    const types = await Promise.all(SERIALIZER_NAMES.map(async (name) => (await createSerializer(name)).contentType));
    expect(new Set(types).size).toBe(SERIALIZER_NAMES.length);
  });

  it('says what protobuf needs, and which names there are', async () => {
    await expect(createSerializer('protobuf' as SerializerName)).rejects.toThrow(
      /needs a schema.*ProtobufSerializer\.load/,
    );
    const error = await createSerializer('c4n4ry' as SerializerName).catch((reason: unknown) => reason as Error);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as Error).message).toMatch(/Known: json, msgpack, structured, text, bytes/);
    expect((error as Error).message).not.toContain('c4n4ry');
  });
});

describe('loadPeer', () => {
  it('says how to install what is missing', async () => {
    const missing = Object.assign(new Error("Cannot find package 'x' imported from y"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await expect(loadPeer('x', 'XSerializer', () => Promise.reject(missing))).rejects.toThrow(
      'XSerializer needs the package x. Install it: npm install x',
    );
  });

  it('passes on what else goes wrong', async () => {
    const other = Object.assign(new Error("Cannot find package 'z' imported from x"), { code: 'ERR_MODULE_NOT_FOUND' });
    await expect(loadPeer('x', 'XSerializer', () => Promise.reject(other))).rejects.toBe(other);
    const broken = new SyntaxError('x');
    await expect(loadPeer('x', 'XSerializer', () => Promise.reject(broken))).rejects.toBe(broken);
  });
});
