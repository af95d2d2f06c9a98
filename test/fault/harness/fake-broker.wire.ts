import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export type Fields = Readonly<Record<string, unknown>>;

export type MethodName =
  | `Connection${'Start' | 'StartOk' | 'Tune' | 'TuneOk' | 'Open' | 'OpenOk' | 'Close' | 'CloseOk' | 'Blocked' | 'Unblocked'}`
  | `Channel${'Open' | 'OpenOk' | 'Close' | 'CloseOk'}`
  | `Exchange${'Declare' | 'DeclareOk' | 'Delete' | 'DeleteOk'}`
  | `Queue${'Declare' | 'DeclareOk' | 'Bind' | 'BindOk' | 'Unbind' | 'UnbindOk' | 'Delete' | 'DeleteOk'}`
  | `Basic${'Qos' | 'QosOk' | 'Consume' | 'ConsumeOk' | 'Cancel' | 'CancelOk' | 'Get' | 'GetOk' | 'GetEmpty' | 'Publish' | 'Return' | 'Deliver' | 'Ack' | 'Reject' | 'Nack'}`
  | `Confirm${'Select' | 'SelectOk'}`;

export type Incoming =
  | {
      readonly kind: 'method';
      readonly channel: number;
      readonly method: MethodName;
      readonly fields: Fields;
      /** The method as it stood on the wire, its number first. */
      readonly payload: Buffer;
    }
  | { readonly kind: 'header'; readonly channel: number; readonly size: number; readonly properties: Fields }
  | { readonly kind: 'body'; readonly channel: number; readonly content: Buffer }
  | { readonly kind: 'heartbeat' };

interface Definitions {
  readonly [method: string]: unknown;
  encodeMethod(id: number, channel: number, fields: Fields): Buffer;
  encodeProperties(id: number, channel: number, size: number, properties: Fields): Buffer;
  info(id: number): { readonly name: MethodName };
}

interface Frame {
  readonly channel: number;
  readonly payload: Buffer;
  readonly rest: Buffer;
}

interface DecodedFrame {
  readonly id?: number;
  readonly channel: number;
  readonly size?: number;
  readonly fields?: Fields;
  readonly content?: Buffer;
}

interface Framing {
  readonly HEARTBEAT: unknown;
  readonly HEARTBEAT_BUF: Buffer;
  readonly PROTOCOL_HEADER: string;
  parseFrame(bytes: Buffer, max: number): Frame | false;
  decodeFrame(frame: Frame): DecodedFrame;
  makeBodyFrame(channel: number, content: Buffer): Buffer;
}

// the driver's own codec; it is not among its exports
const load = createRequire(import.meta.url);
const lib = join(dirname(load.resolve('amqplib')), 'lib');
const definitions = load(join(lib, 'defs.js')) as Definitions;
const framing = load(join(lib, 'frame.js')) as Framing;

const BASIC = 60;
const FRAME_OVERHEAD = 8;
const FRAME_END = 0xce;

export const HEARTBEAT: Buffer = framing.HEARTBEAT_BUF;
const PROTOCOL_HEADER_BYTES = framing.PROTOCOL_HEADER.length;

export function encodeMethod(method: MethodName, channel: number, fields: Fields = {}): Buffer {
  return definitions.encodeMethod(definitions[method] as number, channel, fields);
}

export function encodeContent(channel: number, properties: Fields, body: Buffer, frameMax: number): Buffer {
  const frames = [definitions.encodeProperties(BASIC, channel, body.length, properties)];
  const largest = frameMax - FRAME_OVERHEAD;
  for (let at = 0; at < body.length; at += largest) {
    frames.push(framing.makeBodyFrame(channel, body.subarray(at, at + largest)));
  }
  return Buffer.concat(frames);
}

/** A frame of whatever one likes. */
export function rawFrame(type: number, channel: number, payload: Buffer, size = payload.length): Buffer {
  const frame = Buffer.alloc(payload.length + FRAME_OVERHEAD);
  frame.writeUInt8(type, 0);
  frame.writeUInt16BE(channel, 1);
  frame.writeUInt32BE(size, 3);
  payload.copy(frame, 7);
  frame.writeUInt8(FRAME_END, frame.length - 1);
  return frame;
}

/** Puts together what came in pieces. */
export class FrameReader {
  private rest = Buffer.alloc(0);

  *read(chunk: Buffer): Generator<Incoming> {
    this.rest = Buffer.concat([this.rest, chunk]);
    for (let frame = this.next(); frame; frame = this.next())
      yield toIncoming(framing.decodeFrame(frame), frame.payload);
  }

  /** The first bytes of a connection are no frame. @returns what follows them, once they are there */
  static afterHeader(bytes: Buffer): Buffer | undefined {
    return bytes.length < PROTOCOL_HEADER_BYTES ? undefined : bytes.subarray(PROTOCOL_HEADER_BYTES);
  }

  private next(): Frame | undefined {
    const frame = framing.parseFrame(this.rest, 0);
    if (!frame) return undefined;
    this.rest = Buffer.from(frame.rest);
    return frame;
  }
}

function toIncoming(frame: DecodedFrame, payload: Buffer): Incoming {
  const { id, channel, size, fields = {}, content } = frame;
  if (frame === framing.HEARTBEAT) return { kind: 'heartbeat' };
  if (content !== undefined) return { kind: 'body', channel, content: Buffer.from(content) };
  if (size !== undefined) return { kind: 'header', channel, size, properties: fields };
  const { name: method } = definitions.info(id as number);
  return { kind: 'method', channel, method, fields, payload: Buffer.from(payload) };
}
