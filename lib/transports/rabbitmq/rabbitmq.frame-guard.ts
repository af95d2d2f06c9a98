import type { ChannelModel } from 'amqplib';

/** In the place of headers that the driver cannot read. */
export const UNREADABLE = 'eb-unreadable';

/** The part of the driver by which it takes frames from the bytes that came. */
interface FrameReader {
  /** What came and has not been read. */
  rest: Buffer;
  /** Reads more where a frame is not whole, and calls itself again. */
  recvFrame(): unknown;
}

const HEADER_FRAME = 2;
/** Type, channel and size stand in front of a frame's payload, and one byte behind it. */
const FRAME_HEAD_BYTES = 7;
const FRAME_END_BYTES = 1;
/** Class, weight and size of the body stand in front of the flags of the properties. */
const FLAGS_AT = 12;
const CONTENT_TYPE = 0x8000;
const CONTENT_ENCODING = 0x4000;
const HEADERS = 0x2000;

/**
 * Makes a connection survive headers that its driver cannot read: tables nested some thousand times, which overflow its
 * stack. Such a message arrives with the header `eb-unreadable` and no others; without the guard it would end the
 * connection, and each one after it.
 *
 * @returns whether the driver is one that can be guarded
 */
export function guardFrames({ connection }: ChannelModel): boolean {
  const reader = connection as unknown as Partial<FrameReader>;
  if (!isReader(reader)) return false;
  const read = reader.recvFrame.bind(reader);
  reader.recvFrame = () => {
    const unread = reader.rest;
    try {
      return read();
    } catch (error) {
      const readable = withoutHeaders(unread);
      if (!readable) throw error;
      reader.rest = readable;
      return read();
    }
  };
  return true;
}

function isReader(reader: Partial<FrameReader>): reader is FrameReader {
  return typeof reader.recvFrame === 'function' && Buffer.isBuffer(reader.rest);
}

/** The same bytes with other headers in the first frame; nothing, if that is not a whole frame with headers. */
function withoutHeaders(bytes: Buffer): Buffer | undefined {
  if (bytes.length < FRAME_HEAD_BYTES || bytes[0] !== HEADER_FRAME) return undefined;
  const end = FRAME_HEAD_BYTES + bytes.readUInt32BE(3);
  if (bytes.length < end + FRAME_END_BYTES) return undefined;
  const payload = bytes.subarray(FRAME_HEAD_BYTES, end);
  const place = placeOfHeaders(payload);
  if (!place) return undefined;
  const readable = Buffer.concat([payload.subarray(0, place.from), substitute(), payload.subarray(place.to)]);
  const head = Buffer.from(bytes.subarray(0, FRAME_HEAD_BYTES));
  head.writeUInt32BE(readable.length, 3);
  return Buffer.concat([head, readable, bytes.subarray(end)]);
}

/** The headers are the third of the properties; the two before them are short strings. */
function placeOfHeaders(payload: Buffer): { readonly from: number; readonly to: number } | undefined {
  if (payload.length < FLAGS_AT + 2) return undefined;
  const flags = payload.readUInt16BE(FLAGS_AT);
  if ((flags & HEADERS) === 0) return undefined;
  let from = FLAGS_AT + 2;
  for (const property of [CONTENT_TYPE, CONTENT_ENCODING]) {
    if ((flags & property) !== 0) from += 1 + (payload[from] ?? 0);
  }
  if (from + 4 > payload.length) return undefined;
  const to = from + 4 + payload.readUInt32BE(from);
  return to <= payload.length ? { from, to } : undefined;
}

/** A table with one entry, which is true. */
function substitute(): Buffer {
  const name = Buffer.from(UNREADABLE);
  const entry = Buffer.concat([Buffer.from([name.length]), name, Buffer.from('t\u0001')]);
  const table = Buffer.alloc(4);
  table.writeUInt32BE(entry.length);
  return Buffer.concat([table, entry]);
}
