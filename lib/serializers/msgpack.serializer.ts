import type { Packr } from 'msgpackr';
import { ValidationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import type { Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';
import { type MsgpackHazard, MsgpackScanner } from './msgpack.hazard.js';
import { toMsgpackPlain } from './msgpack.plain.js';
import { MsgpackReader } from './msgpack.reader.js';
import { loadPeer } from './optional-peer.js';

/** What the writer goes back to after a large payload, whose memory it would keep. */
const BUFFER_BYTES = 8_192;
const REPLACED = Buffer.from('\ufffd');

const WHY: Readonly<Record<MsgpackHazard, string>> = {
  depth: `it is nested deeper than ${LIMITS.depth} levels`,
  prototype: 'it has a property "__proto__", or "constructor" with a "prototype" in it',
  key: 'it has a Map with a key that is no text',
  extension: 'it holds what MessagePack has no type for',
};

interface Writer {
  readonly packr: Packr;
  /** So that the writer uses its memory again; what it gives is copied. */
  readonly mode: number;
}

/**
 * MessagePack as every language reads it: no records, no extension but the standard timestamp. Needs the package `msgpackr`,
 * which writes; what came over the wire is read here.
 *
 * A `Date` and a `Uint8Array` arrive as what they are. A whole number beyond 2^53 and a BigInt within 64 bits are integers on the
 * wire, and arrive as a number where that is exact, else as a BigInt. What JSON leaves out is left out, `undefined` in an array is
 * null. Other types (Set, Error, RegExp, other typed arrays, functions) are refused. Bounds and names as in JSON: at most 1,000
 * levels, and no property by which a prototype could be changed, both ways.
 *
 * @example EventBusModule.forRoot({ serializer: await MsgpackSerializer.load() })
 */
export class MsgpackSerializer implements Serializer {
  readonly contentType = 'application/vnd.msgpack';
  /** Names from before the type was registered. */
  readonly contentTypeAliases: readonly string[] = ['application/msgpack', 'application/x-msgpack'];
  private readonly writer: Writer;
  private readonly scanner = new MsgpackScanner();
  private readonly reader = new MsgpackReader();

  private constructor(writer: Writer) {
    this.writer = writer;
  }

  /** @throws ConfigurationError when the package `msgpackr` is not installed */
  static async load(): Promise<MsgpackSerializer> {
    const { Packr, RESET_BUFFER_MODE } = await loadPeer('msgpackr', 'MsgpackSerializer', () => import('msgpackr'));
    // with its own types on, it marks what is not standard, and is found out; otherwise it writes other values for some of them
    const packr = new Packr({ useRecords: false, structuredClone: false, moreTypes: true, variableMapSize: true });
    return new MsgpackSerializer({ packr, mode: RESET_BUFFER_MODE });
  }

  encode(payload: unknown): Uint8Array {
    const written = this.write(payload);
    if (typeof written !== 'string' && !mayBeIllFormed(written)) return written;
    // hardly ever: `undefined`, a Uint8Array that is no Buffer, or what cannot be written
    const again = this.write(payload, (value) => toMsgpackPlain(value));
    if (typeof again === 'string') throw unserializable(WHY[again]);
    return again;
  }

  decode(body: Uint8Array): unknown {
    return this.reader.read(body);
  }

  private write(payload: unknown, prepare: (payload: unknown) => unknown = asItIs): Buffer | MsgpackHazard {
    const { packr, mode } = this.writer;
    let bytes: Uint8Array;
    try {
      bytes = packr.encode(prepare(payload), mode);
    } catch (cause) {
      if (cause instanceof ValidationError) throw cause;
      if ((cause as Error | undefined)?.name === 'RangeError')
        throw unserializable(`it has a cycle, or is nested deeper than ${LIMITS.depth} levels`);
      throw unserializable('it cannot be written as MessagePack', { cause });
    }
    const hazard = this.scanner.hazardOf(bytes);
    const result = hazard ?? Buffer.from(bytes);
    if (bytes.byteLength > LIMITS.messageBytes) packr.useBuffer(Buffer.allocUnsafeSlow(BUFFER_BYTES));
    return result;
  }
}

function asItIs(payload: unknown): unknown {
  return payload;
}

/** Whether half a surrogate pair may be in it: as the bytes that UTF-8 does not have, or replaced. */
function mayBeIllFormed(bytes: Buffer): boolean {
  return bytes.includes(0xed) || bytes.includes(REPLACED);
}
