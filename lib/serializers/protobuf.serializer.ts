import type { Root, Type } from 'protobufjs';
import { ConfigurationError, DecodeError, ValidationError } from '../core/errors.js';
import { ANY, listOf, oneOf, recordOf, shape, text } from '../core/options.js';
import type { MessageHead, Serializer } from '../core/serializer.js';
import { unserializable } from '../core/unserializable.js';
import { loadPeer } from './optional-peer.js';
import { ProtobufBudget } from './protobuf.budget.js';
import type { Int64Form } from './protobuf.int64.js';
import { ProtobufReader } from './protobuf.reader.js';
import { ProtobufWriter, type ToLong } from './protobuf.writer.js';

/** Exactly one of `files`, `source` and `root`. */
export interface ProtobufOptions {
  /** Paths of `.proto` files; what they import is read as well. */
  readonly files?: string | readonly string[];
  /** The text of a `.proto` file that imports nothing but well-known types. */
  readonly source?: string;
  /** A `Root` of protobufjs, or its JSON descriptor. */
  readonly root?: object;
  /** Full names of messages by event: `{ 'orders.placed': 'acme.OrderPlaced' }`. Default: an event is named as its message. */
  readonly types?: Readonly<Record<string, string>>;
  /** How 64-bit integers come out. `number` is not exact beyond 2^53. Default `bigint`. */
  readonly int64?: Int64Form;
}

type Protobuf = typeof import('protobufjs');

/** The part of it that its types leave out. */
interface LongFactory {
  readonly fromString: (digits: string, isUnsigned: boolean) => unknown;
}

interface Schema {
  /** By event. */
  readonly types: ReadonlyMap<string, Type>;
  readonly toLong: ToLong;
  readonly reader: ProtobufReader;
}

const SHAPE = shape({
  files: (value, path, problems) => (typeof value === 'string' ? text() : listOf(text(), 1))(value, path, problems),
  source: text(),
  root: ANY,
  types: recordOf(text()),
  int64: oneOf(['bigint', 'string', 'number']),
});

/**
 * Protocol Buffers, with a schema for each event: the one of `message.type`, or of the topic when the event has no type. Needs the
 * package `protobufjs`.
 *
 * Names are camelCase, as protobufjs reads them from `.proto` files. Out come plain objects: 64-bit integers as BigInt (see `int64`),
 * bytes as Uint8Array, enums by name (by number when the schema does not have it), lists and maps always; a field without presence
 * that is not there has its default, one with presence (`optional`, messages, `oneof`) is absent. On the way in a BigInt, a safe
 * number or digits stand for a 64-bit integer, a name or a number for an enum. What the schema does not have or what has another type
 * is refused on publish; fields that are unknown here are passed over on the way in.
 *
 * @example
 * const serializer = await ProtobufSerializer.load({ files: 'events.proto', types: { 'orders.placed': 'acme.OrderPlaced' } });
 */
export class ProtobufSerializer implements Serializer {
  readonly contentType = 'application/protobuf';
  /** Names from before the type was registered. */
  readonly contentTypeAliases: readonly string[] = ['application/x-protobuf', 'application/vnd.google.protobuf'];
  private readonly schema: Schema;
  private readonly budget = new ProtobufBudget();

  private constructor(schema: Schema) {
    this.schema = schema;
  }

  /**
   * Reads the schema.
   *
   * @throws ConfigurationError when `protobufjs` is not installed, the schema cannot be read, or it has not all `types`
   */
  static async load(options: ProtobufOptions): Promise<ProtobufSerializer> {
    const problems: string[] = [];
    SHAPE(options, 'protobuf', problems);
    const given = problems.length > 0 ? 1 : ['files', 'source', 'root'].filter((name) => name in options).length;
    if (given !== 1) problems.push('protobuf: give the schema as one of files, source and root.');
    if (problems.length > 0) throw new ConfigurationError(problems);
    const { default: protobuf } = await loadPeer('protobufjs', 'ProtobufSerializer', () => import('protobufjs'));
    const root = await readRoot(protobuf, options);
    const { longFromKey } = protobuf.util;
    const { fromString } = protobuf.util.Long as unknown as LongFactory;
    return new ProtobufSerializer({
      types: typesOf(protobuf, root, options.types),
      toLong: (value, unsigned) => fromString(value.toString(), unsigned),
      reader: new ProtobufReader(options.int64 ?? 'bigint', (key, isUnsigned) => longFromKey(key, isUnsigned)),
    });
  }

  encode(payload: unknown, head: MessageHead): Uint8Array {
    const { types, toLong } = this.schema;
    const type = types.get(eventOf(head));
    if (!type) {
      throw unserializable(`there is no Protobuf message for the event "${eventOf(head)}". Name one in types`);
    }
    const writer = new ProtobufWriter(toLong);
    const fields = writer.message(type, payload);
    if (writer.issues.length > 0) {
      throw new ValidationError(
        `The payload was not published: it is no ${type.fullName.slice(1)} (${writer.issues.slice(0, 5).join('; ')}).`,
        writer.issues,
        {},
        'UNSERIALIZABLE',
      );
    }
    return type.encode(type.create(fields)).finish();
  }

  decode(body: Uint8Array, head: MessageHead): unknown {
    const { types, reader } = this.schema;
    const type = types.get(eventOf(head));
    // what it is named comes over the wire: it is not repeated
    if (!type) throw new DecodeError('The body is of an event for which there is no Protobuf message here.');
    if (!this.budget.isWithin(type, body)) {
      throw new DecodeError(
        `The body is no valid ${type.fullName.slice(1)} (${body.byteLength} bytes), or has more values than it may.`,
      );
    }
    let message: object;
    try {
      message = type.decode(body);
    } catch {
      // its text may quote the body
      throw new DecodeError(`The body is no valid ${type.fullName.slice(1)} (${body.byteLength} bytes).`);
    }
    return reader.toPlain(type, message);
  }
}

function eventOf({ type, topic }: MessageHead): string {
  return type === '' ? topic : type;
}

async function readRoot(protobuf: Protobuf, { files, source, root }: ProtobufOptions): Promise<Root> {
  try {
    const result = new protobuf.Root();
    if (files !== undefined) await result.load(typeof files === 'string' ? files : [...files]);
    else if (source !== undefined) protobuf.parse(source, result);
    const read = root === undefined ? result : isRoot(root) ? root : protobuf.Root.fromJSON(root);
    read.resolveAll();
    return read;
  } catch (cause) {
    throw new ConfigurationError(`The Protobuf schema cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function isRoot(root: object): root is Root {
  return typeof (root as Partial<Root>).resolveAll === 'function';
}

/** Every message that an event may name, found beforehand: what the wire names is looked up and nothing else. */
function typesOf(protobuf: Protobuf, root: Root, events: ProtobufOptions['types']): ReadonlyMap<string, Type> {
  const all = new Map<string, Type>();
  const open: unknown[] = [...root.nestedArray];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next instanceof protobuf.Type) all.set(next.fullName.slice(1), next);
    if (next instanceof protobuf.Namespace) open.push(...next.nestedArray);
  }
  if (events === undefined) return all;
  const problems = Object.entries(events).flatMap(([event, name]) =>
    all.has(name) ? [] : [`protobuf.types["${event}"] names ${name}, which the schema does not have.`],
  );
  if (problems.length > 0) throw new ConfigurationError(problems);
  return new Map(
    Object.entries(events).flatMap(([event, name]) => {
      const type = all.get(name);
      return type ? [[event, type] as const] : [];
    }),
  );
}
