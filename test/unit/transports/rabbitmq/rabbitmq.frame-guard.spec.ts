import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import type { ChannelModel } from 'amqplib';
import fc from 'fast-check';
import { guardFrames, UNREADABLE } from '../../../../lib/transports/rabbitmq/rabbitmq.frame-guard.js';
import { FATAL_DEPTH, nestedHeader, type RawHeader } from '../../../support/nested-headers.js';

interface Frame {
  readonly channel: number;
  readonly size?: number;
  readonly content?: Buffer;
  readonly fields?: Readonly<Record<string, unknown>>;
}

interface DriverConnection {
  accept: (frame: Frame) => void;
  acceptLoop(): void;
  on(event: 'frameError', listener: (error: Error) => void): void;
  recvFrame: unknown;
}

// not one of the paths that the driver exports
const require = createRequire(import.meta.url);
const { Connection } = require(join(dirname(require.resolve('amqplib')), 'lib/connection.js')) as {
  readonly Connection: new (stream: PassThrough) => DriverConnection;
};

const CONTENT_TYPE = 0x8000;
const CONTENT_ENCODING = 0x4000;
const HEADERS = 0x2000;
const MESSAGE_ID = 0x80;

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7);
  head[0] = type;
  head.writeUInt16BE(1, 1);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([206])]);
}

const short = (text: string): Buffer => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);

/** The frame in front of a body of three bytes. */
function headerFrame(flags: number, ...properties: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(14);
  head.writeUInt16BE(60);
  head.writeUInt32BE(3, 8);
  head.writeUInt16BE(flags, 12);
  return frame(2, Buffer.concat([head, ...properties]));
}

function table({ name, field }: RawHeader): Buffer {
  const entry = Buffer.concat([short(name), field]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(entry.length);
  return Buffer.concat([length, entry]);
}

const UNREADABLE_FRAME = headerFrame(
  CONTENT_TYPE | CONTENT_ENCODING | HEADERS | MESSAGE_ID,
  short('application/json'),
  short('identity'),
  table(nestedHeader()),
  short('id-1'),
);
const BODY_FRAME = frame(3, Buffer.from('{ }'));
const READABLE_FRAME = headerFrame(HEADERS, table({ name: 'a', field: Buffer.from('S\0\0\0\u0001b', 'latin1') }));

/** What a guarded connection makes of bytes that come in these pieces. */
async function read(
  pieces: readonly Buffer[],
  guard = true,
): Promise<{ readonly frames: readonly Frame[]; readonly errors: readonly Error[] }> {
  const stream = new PassThrough();
  const connection = new Connection(stream);
  const frames: Frame[] = [];
  const errors: Error[] = [];
  connection.accept = (one) => void frames.push(one);
  connection.on('frameError', (error) => void errors.push(error));
  expect(guard && guardFrames({ connection } as unknown as ChannelModel)).toBe(guard);
  connection.acceptLoop();
  for (const piece of pieces) {
    stream.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { frames, errors };
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % bytes.length).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

describe('the guard of the frames', () => {
  it('is needed: without it the driver gives up', async () => {
    const { frames, errors } = await read([UNREADABLE_FRAME, BODY_FRAME], false);
    expect(frames).toMatchObject([{ content: Buffer.from('{ }') }]);
    expect(errors[0]).toMatchObject({ name: 'RangeError' });
  });

  it('lets everything that can be read through as it is', async () => {
    const pieces = [READABLE_FRAME, BODY_FRAME];
    expect(await read(pieces)).toEqual(await read(pieces, false));
  });

  it('exchanges the headers that cannot be read, and nothing else', async () => {
    const { frames, errors } = await read([UNREADABLE_FRAME, BODY_FRAME]);
    expect(errors).toEqual([]);
    expect(frames).toHaveLength(2);
    expect(frames[0]).toMatchObject({
      channel: 1,
      size: 3,
      fields: {
        contentType: 'application/json',
        contentEncoding: 'identity',
        headers: { [UNREADABLE]: true },
        messageId: 'id-1',
      },
    });
    expect(frames[1]?.content?.toString()).toBe('{ }');
  });

  it.each([4_000, FATAL_DEPTH, 16_000, 18_700])('whether %d levels can be read or not', async (depth) => {
    const { frames, errors } = await read([headerFrame(HEADERS, table(nestedHeader(depth))), BODY_FRAME]);
    expect(errors).toEqual([]);
    expect(frames).toHaveLength(2);
  });

  it('exchanges a type that the driver does not know', async () => {
    const odd = table({ name: 'a', field: Buffer.from('?') });
    const { frames, errors } = await read([headerFrame(HEADERS | MESSAGE_ID, odd, short('id-2'))]);
    expect(errors).toEqual([]);
    expect(frames).toMatchObject([{ fields: { headers: { [UNREADABLE]: true }, messageId: 'id-2' } }]);
  });

  it('in whatever pieces the bytes come', async () => {
    const all = Buffer.concat([
      READABLE_FRAME,
      BODY_FRAME,
      UNREADABLE_FRAME,
      BODY_FRAME,
      UNREADABLE_FRAME,
      BODY_FRAME,
      READABLE_FRAME,
      BODY_FRAME,
    ]);
    const whole = await read([all]);
    expect(whole.frames).toHaveLength(8);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (at) => {
        expect(await read(cut(all, at))).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });

  it('byte by byte', async () => {
    const all = Buffer.concat([headerFrame(HEADERS, table({ name: 'a', field: Buffer.from('?') })), BODY_FRAME]);
    const { frames, errors } = await read([...all].map((byte) => Buffer.from([byte])));
    expect(errors).toEqual([]);
    expect(frames).toHaveLength(2);
  });

  it.each<[string, Buffer]>([
    ['a frame of another type', frame(9, Buffer.from('x'))],
    ['a frame without its end', Buffer.concat([UNREADABLE_FRAME.subarray(0, -1), Buffer.from([0])])],
    ['an answer that is none', frame(1, Buffer.from([0, 60, 0xff, 0xff]))],
    [
      'headers that are longer than their frame',
      headerFrame(HEADERS, Buffer.from([0, 0, 0xff, 0xff]), Buffer.from('x')),
    ],
    ['a frame that is cut within its headers', headerFrame(HEADERS, Buffer.from([0]))],
    ['a frame that is cut before its properties', frame(2, Buffer.from([0, 60]))],
    ['properties that cannot be read, without headers', headerFrame(MESSAGE_ID)],
  ])('leaves %s to the driver', async (_, bytes) => {
    const guarded = await read([bytes]);
    const bare = await read([bytes], false);
    expect(guarded.frames).toEqual(bare.frames);
    expect(guarded.errors.map(String)).toEqual(bare.errors.map(String));
  });

  it.each<[string, object]>([
    ['no reader', { rest: Buffer.alloc(0) }],
    ['no bytes', { recvFrame: () => false }],
    ['bytes of another kind', { recvFrame: () => false, rest: [] }],
  ])('says of a driver with %s that it cannot be guarded, and leaves it as it is', (_, connection) => {
    const before = { ...connection };
    expect(guardFrames({ connection } as unknown as ChannelModel)).toBe(false);
    expect(connection).toEqual(before);
  });
});
