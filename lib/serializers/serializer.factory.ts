import { ConfigurationError } from '../core/errors.js';
import type { Serializer } from '../core/serializer.js';
import { BytesSerializer } from './bytes.serializer.js';
import { JsonSerializer } from './json.serializer.js';
import { MsgpackSerializer } from './msgpack.serializer.js';
import { StructuredSerializer } from './structured.serializer.js';
import { TextSerializer } from './text.serializer.js';

/** The serializers that need no more than their name. */
export const SERIALIZER_NAMES = ['json', 'msgpack', 'structured', 'text', 'bytes'] as const;
export type SerializerName = (typeof SERIALIZER_NAMES)[number];

/** @throws ConfigurationError for an unknown name, for `protobuf`, and when a package is not installed that it needs */
export async function createSerializer(name: string): Promise<Serializer> {
  switch (name) {
    case 'json':
      return new JsonSerializer();
    case 'msgpack':
      return MsgpackSerializer.load();
    case 'structured':
      return new StructuredSerializer();
    case 'text':
      return new TextSerializer();
    case 'bytes':
      return new BytesSerializer();
    default:
      throw new ConfigurationError(
        name === 'protobuf'
          ? "serializer: 'protobuf' needs a schema. Use { serializer: await ProtobufSerializer.load({ files: 'events.proto' }) }."
          : `Unknown serializer. Known: ${SERIALIZER_NAMES.join(', ')}.`,
      );
  }
}
