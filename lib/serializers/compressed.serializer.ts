import {
  type BrotliOptions,
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  gunzipSync,
  gzipSync,
} from 'node:zlib';
import { codingsOf, joinCodings } from '../core/content-codings.js';
import { encodedOf } from '../core/encoded-body.js';
import { ConfigurationError, DecodeError, MessageTooLargeError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { integer, oneOf, shape } from '../core/options.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import { assertInner } from './inner-serializer.js';

export interface CompressionOptions {
  /** What is written; both are read. Default `gzip`, which every client knows. */
  readonly algorithm?: 'gzip' | 'brotli';
  /** Bodies of fewer bytes stay as they are: packing them costs more than it saves. Default 1 024. */
  readonly minBytes?: number;
  /** A body that is larger than this before it is packed is neither written nor read. Default 1 048 576. */
  readonly maxBytes?: number;
  /** 1 is fast, 9 (gzip) or 11 (brotli) is small, and far slower. Default 6 for gzip, 4 for brotli. */
  readonly level?: number;
}

interface Algorithm {
  readonly coding: string;
  readonly maxLevel: number;
  pack(body: Uint8Array, level: number | undefined): Uint8Array;
}

const ALGORITHMS: Readonly<Record<'gzip' | 'brotli', Algorithm>> = {
  gzip: { coding: 'gzip', maxLevel: 9, pack: (body, level = 6) => gzipSync(body, { level }) },
  brotli: {
    coding: 'br',
    maxLevel: 11,
    pack: (body, level = 4) =>
      brotliCompressSync(body, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: level,
          [constants.BROTLI_PARAM_SIZE_HINT]: body.byteLength,
        },
      }),
  },
};
/** The window that nearly all writers use; a larger one serves only bodies that are larger. */
const WINDOW_BITS = 22;
const CODINGS: readonly string[] = ['gzip', 'br'];

const SHAPE = shape({
  algorithm: oneOf(['gzip', 'brotli']),
  minBytes: integer(0, Number.MAX_SAFE_INTEGER),
  maxBytes: integer(1, 2 ** 30),
  level: integer(1, 11),
});

/**
 * A serializer whose bodies are packed by gzip or brotli, which the message says as its content encoding. It reads both, and
 * plain bodies as well, so it can be switched on while others publish without it. A bomb is stopped at `maxBytes`.
 *
 * @throws ConfigurationError for wrong options, and for a serializer that encrypts: what is encrypted cannot be packed
 * @example EventBusModule.forRoot({ serializer: compressed(new JsonSerializer(), { algorithm: 'brotli' }) })
 */
export function compressed(inner: Serializer, options: CompressionOptions = {}): Serializer {
  assertInner('compressed()', inner);
  const problems: string[] = [];
  SHAPE(options, 'compressed', problems);
  const { algorithm = 'gzip', level } = options;
  if (problems.length === 0 && level !== undefined && level > ALGORITHMS[algorithm].maxLevel)
    problems.push(`compressed.level is at most ${ALGORITHMS[algorithm].maxLevel} for ${algorithm}.`);
  const applied = (inner.contentEncodings ?? []).flatMap((codings) => codingsOf(codings));
  if (applied.includes('aes256gcm'))
    problems.push('compressed(encrypted(…)): what is encrypted cannot be packed. Write encrypted(compressed(…)).');
  else if (applied.some((coding) => CODINGS.includes(coding)))
    problems.push('compressed(compressed(…)): a body is packed once. Leave out one of them.');
  if (problems.length > 0) throw new ConfigurationError(problems);
  return new CompressedSerializer(inner, options);
}

class CompressedSerializer implements Serializer {
  readonly contentType: string;
  readonly contentTypeAliases: readonly string[];
  readonly contentEncodings: readonly string[];
  readonly usesHeaders: boolean;
  private readonly algorithm: Algorithm;
  private readonly minBytes: number;
  private readonly maxBytes: number;
  private readonly level: number | undefined;

  constructor(
    private readonly inner: Serializer,
    { algorithm = 'gzip', minBytes = 1_024, maxBytes = LIMITS.messageBytes, level }: CompressionOptions,
  ) {
    this.contentType = inner.contentType;
    this.contentTypeAliases = inner.contentTypeAliases ?? [];
    this.contentEncodings = (inner.contentEncodings ?? ['']).flatMap((codings) =>
      ['', ...CODINGS].map((coding) => joinCodings(codingsOf(`${codings},${coding}`))),
    );
    this.usesHeaders = inner.usesHeaders ?? false;
    this.algorithm = ALGORITHMS[algorithm];
    this.minBytes = minBytes;
    this.maxBytes = maxBytes;
    this.level = level;
  }

  encode(payload: unknown, head: MessageHead): EncodedBody {
    const plain = encodedOf(this.inner.encode(payload, head));
    const { byteLength } = plain.body;
    // no consumer would take it
    if (byteLength > this.maxBytes) throw new MessageTooLargeError('The payload', byteLength, this.maxBytes);
    if (byteLength < this.minBytes) return plain;
    const body = this.algorithm.pack(plain.body, this.level);
    if (body.byteLength >= byteLength) return plain;
    const codings = [...codingsOf(plain.contentEncoding), this.algorithm.coding];
    return { ...plain, body, contentEncoding: joinCodings(codings) };
  }

  decode(body: Uint8Array, head: MessageHead): unknown {
    const codings = codingsOf(head.contentEncoding);
    const coding = codings.at(-1) ?? '';
    if (!CODINGS.includes(coding)) return this.inner.decode(body, head);
    const { contentEncoding: _, ...rest } = head;
    const before = joinCodings(codings.slice(0, -1));
    return this.inner.decode(this.unpack(coding, body), before === '' ? rest : { ...rest, contentEncoding: before });
  }

  private unpack(coding: string, body: Uint8Array): Uint8Array {
    // a whole window is unpacked before anything is counted
    if (coding === 'br' && windowBitsOf(body) > Math.max(WINDOW_BITS, Math.ceil(Math.log2(this.maxBytes))))
      throw new DecodeError(`The body is brotli with a window of more than 2^${WINDOW_BITS} bytes.`);
    const options = { maxOutputLength: this.maxBytes };
    try {
      return coding === 'gzip' ? gunzipSync(body, options) : unpackBrotli(body, options);
    } catch (cause) {
      const isTooLarge = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
      throw new DecodeError(
        isTooLarge
          ? `The body has more than ${this.maxBytes} bytes when it is unpacked.`
          : `The body is not valid ${coding} (${body.byteLength} bytes).`,
      );
    }
  }
}

/** What stands behind the end is passed over by the engine; gzip is refused with it. */
function unpackBrotli(body: Uint8Array, options: BrotliOptions): Uint8Array {
  // `info` is missing in the types
  const given: unknown = brotliDecompressSync(body, { ...options, info: true } as BrotliOptions);
  const { buffer, engine } = given as { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
  if (engine.bytesWritten !== body.byteLength) throw new RangeError('bytes behind the end');
  return buffer;
}

/** The size of the window as the first byte has it (RFC 7932, 9.1): bit 0 set, and in the three bits after it what 17 lacks. */
function windowBitsOf(body: Uint8Array): number {
  const first = body[0] ?? 0;
  return (first & 1) === 0 ? 16 : 17 + ((first >> 1) & 7);
}
