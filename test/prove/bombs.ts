import { once } from 'node:events';
import { type BrotliCompress, constants, createBrotliCompress, createGzip, type Gzip } from 'node:zlib';

const MIB = 1_048_576;
const CHUNK = Buffer.alloc(16 * MIB);

export interface Bomb {
  readonly name: string;
  readonly coding: 'gzip' | 'br';
  readonly packed: Uint8Array;
  readonly unpackedBytes: number;
}

/** What a stream of gzip or brotli gives, a part at a time. */
class Packer {
  private parts: Buffer[] = [];

  constructor(private readonly stream: Gzip | BrotliCompress) {
    stream.on('data', (part: Buffer) => this.parts.push(part));
  }

  async add(flush?: number): Promise<Buffer> {
    await new Promise<void>((resolve) => this.stream.write(CHUNK, () => resolve()));
    if (flush !== undefined) await new Promise<void>((resolve) => this.stream.flush(flush, resolve));
    return this.take();
  }

  async end(): Promise<Buffer> {
    const ended = once(this.stream, 'end');
    this.stream.end();
    await ended;
    return this.take();
  }

  private take(): Buffer {
    const taken = Buffer.concat(this.parts);
    this.parts = [];
    return taken;
  }
}

/** Zeros in gzip: a thousandth of them, which is as much as it packs. */
export async function gzipBomb(mebibytes: number): Promise<Bomb> {
  const packer = new Packer(createGzip({ level: 9 }));
  const parts: Buffer[] = [];
  for (let done = 0; done < mebibytes; done += CHUNK.byteLength / MIB) parts.push(await packer.add());
  parts.push(await packer.end());
  return {
    name: `gzip of ${mebibytes} MiB`,
    coding: 'gzip',
    packed: Buffer.concat(parts),
    unpackedBytes: mebibytes * MIB,
  };
}

/** Zeros in brotli. After a flush each 16 MiB are the same few bytes, so that no zero needs to be packed twice. */
export async function brotliBomb(mebibytes: number, windowBits: number): Promise<Bomb> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: windowBits };
  const packer = new Packer(createBrotliCompress({ params }));
  const first = await packer.add(constants.BROTLI_OPERATION_FLUSH);
  const second = await packer.add(constants.BROTLI_OPERATION_FLUSH);
  const third = await packer.add(constants.BROTLI_OPERATION_FLUSH);
  if (!second.equals(third)) throw new Error('The parts of the bomb differ.');
  const times = mebibytes / (CHUNK.byteLength / MIB) - 1;
  const packed = Buffer.concat([first, ...Array.from({ length: times }, () => second), await packer.end()]);
  const name = `brotli of ${mebibytes} MiB, window of 2^${windowBits}`;
  return { name, coding: 'br', packed, unpackedBytes: mebibytes * MIB };
}
