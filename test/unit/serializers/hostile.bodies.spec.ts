import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, DecodeError, ValidationError } from '../../../lib/core/errors.js';
import type { Serializer } from '../../../lib/core/serializer.js';
import { CloudEventsSerializer } from '../../../lib/serializers/cloud-events.serializer.js';
import { compressed } from '../../../lib/serializers/compressed.serializer.js';
import { encrypted } from '../../../lib/serializers/encrypted.serializer.js';
import { type EncryptionOptions } from '../../../lib/serializers/encryption-keys.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { MsgpackSerializer } from '../../../lib/serializers/msgpack.serializer.js';
import { ProtobufSerializer } from '../../../lib/serializers/protobuf.serializer.js';
import { StructuredSerializer } from '../../../lib/serializers/structured.serializer.js';
import { TextSerializer } from '../../../lib/serializers/text.serializer.js';
import { caught, problemsOf } from '../support/caught.js';
import { aMessage } from '../support/message.js';

const json = new JsonSerializer();
const msgpack = await MsgpackSerializer.load();
const MIB = 1_048_576;

describe('msgpack', () => {
  const arrayOf = (...item: number[]): Buffer => {
    const content = Buffer.alloc(MIB - 5 - ((MIB - 5) % item.length), Buffer.from(item));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.byteLength / item.length);
    return Buffer.concat([Buffer.of(0xdd), length, content]);
  };

  it.each<[string, Buffer]>([
    ['objects', arrayOf(0x80)],
    ['arrays', arrayOf(0x90)],
    ['bytes', arrayOf(0xc4, 0)],
  ])('refuses a body of nothing but empty %s', (_, body) => {
    expect(caught(() => msgpack.decode(body)).message).toMatch(/^The body has more than 350000 objects/);
  });

  it('reads again after it has refused one', () => {
    expect(caught(() => msgpack.decode(arrayOf(0x80)))).toBeInstanceOf(DecodeError);
    expect(msgpack.decode(msgpack.encode([{}]))).toEqual([{}]);
  });

  it('writes objects of more than 65,535 names', () => {
    const payload = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`k${index}`, index]));
    expect(msgpack.decode(msgpack.encode(payload))).toEqual(payload);
  });
});

describe('structured', () => {
  it('refuses a BigInt beyond the limit without writing its digits', () => {
    const structured = new StructuredSerializer();
    const largest = 10n ** 10_000n - 1n;
    for (const value of [largest, -largest]) expect(structured.decode(structured.encode(value))).toBe(value);
    for (const value of [largest + 1n, -largest - 1n])
      expect(caught(() => structured.encode(value)).message).toMatch(/more than 10000 digits/);
    const before = process.cpuUsage();
    expect(caught(() => structured.encode(1n << 20_000_000n))).toBeInstanceOf(ValidationError);
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
  });
});

describe('compressed', () => {
  const packed = compressed(json);
  const read = (body: Uint8Array, contentEncoding: string): unknown =>
    packed.decode(body, aMessage({ contentEncoding }));

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ] as const)('refuses what stands behind the end of %s', (coding, pack) => {
    expect(read(pack('[1]'), coding)).toEqual([1]);
    expect(caught(() => read(Buffer.concat([pack('[1]'), Buffer.from('more')]), coding))).toBeInstanceOf(DecodeError);
  });

  it('reads gzip under its older name', () => {
    expect(read(gzipSync('[1]'), 'X-GZIP')).toEqual([1]);
  });
});

describe('protobuf', () => {
  it('refuses what does not fit into a float, and names nothing at length', async () => {
    const serializer = await ProtobufSerializer.load({
      source: 'syntax = "proto3"; message P { float f = 1; }',
      types: { p: 'P' },
    });
    const head = aMessage({ type: 'p' });
    for (const f of [1.5, Number.NaN, Number.NEGATIVE_INFINITY])
      expect(serializer.decode(serializer.encode({ f }, head), head)).toEqual({ f });
    expect(caught(() => serializer.encode({ f: 1e300 }, head)).message).toContain('fits into 32 bits');
    const { message } = caught(() => serializer.encode({ [`a\nb${'c'.repeat(5_000)}`]: 1 }, head));
    expect(message).toContain('a\\nb');
    expect(message).not.toContain('\n');
    expect(message.length).toBeLessThan(500);
  });
});

describe('encrypted', () => {
  it.each(['4f'.repeat(32), Buffer.alloc(32, 'c4n4ry').toString('base64'), 'x'.repeat(65)])(
    'shows no option whose name may be a key',
    (name) => {
      const options = { keys: { k: Buffer.alloc(32) }, activeKeyId: 'k', [name]: 1 } as EncryptionOptions;
      expect(caught(() => encrypted(json, options))).toBeInstanceOf(ConfigurationError);
      expect(problemsOf(() => encrypted(json, options)).join()).not.toContain(name.slice(0, 12));
    },
  );
});

describe('CloudEvents', () => {
  const read = (data: Serializer, fields: object): unknown => {
    const event = { specversion: '1.0', id: '1', source: '/s', type: 't', ...fields };
    const serializer = new CloudEventsSerializer({ mode: 'structured', data });
    return serializer.decode(Buffer.from(JSON.stringify(event)), aMessage());
  };
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

  it('tells the serializer of the data its charset, and takes all names of its type', () => {
    const text = new TextSerializer();
    const data_base64 = base64(Buffer.from('größe'));
    expect(read(text, { datacontenttype: 'text/plain; charset=UTF-8', data_base64 })).toBe('größe');
    expect(caught(() => read(text, { datacontenttype: 'text/plain; charset=utf-16', data_base64 })).message).toMatch(
      /another charset/,
    );
    const packed = { datacontenttype: 'application/msgpack', data_base64: base64(msgpack.encode({ a: 1 })) };
    expect(read(msgpack, packed)).toEqual({ a: 1 });
    const binary = new CloudEventsSerializer({ mode: 'binary', data: msgpack });
    expect(binary.contentTypeAliases).toContain('application/msgpack');
  });

  it.each(['2016-12-31T23:59:60Z', '2024-02-29T00:00:00.123456789z', '0000-01-01t00:00:00+23:59'])(
    'the time %s is one',
    (time) => {
      expect(read(json, { time, data: 1 })).toBe(1);
    },
  );

  it.each(['2021-02-29T00:00:00Z', '2021-02-30T00:00:00Z', '2021-01-01T24:00:00Z', '2021-13-01T00:00:00Z'])(
    'the time %s is none',
    (time) => {
      expect(caught(() => read(json, { time, data: 1 }))).toBeInstanceOf(DecodeError);
    },
  );

  it("an attribute is a whole number of 32 bits; a header that cannot be one is somebody else's", () => {
    expect(read(json, { n: 2 ** 31 - 1, data: 1 })).toBe(1);
    expect(caught(() => read(json, { n: 2 ** 31, data: 1 }))).toBeInstanceOf(DecodeError);
    const binary = new CloudEventsSerializer({ mode: 'binary', payload: 'event' });
    const own = { specversion: '1.0', id: '1', source: '/s', type: 't', n: 5, rate: 0.5 };
    const headers = Object.fromEntries(Object.entries(own).map(([name, value]) => [`cloudEvents:${name}`, value]));
    const event = binary.decode(Buffer.from('1'), aMessage({ headers }));
    expect(event).toMatchObject({ n: 5, data: 1 });
    expect(event).not.toHaveProperty('rate');
  });
});
