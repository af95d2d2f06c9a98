import { ConfigurationError } from '../core/errors.js';
import type { Serializer } from '../core/serializer.js';
import { JsonSerializer } from './json.serializer.js';

export const SERIALIZER_NAMES = ['json'] as const;
export type SerializerName = (typeof SERIALIZER_NAMES)[number];

export async function createSerializer(name: string): Promise<Serializer> {
  if (name === 'json') return new JsonSerializer();
  throw new ConfigurationError(`Unknown serializer. Known: ${SERIALIZER_NAMES.join(', ')}.`);
}
