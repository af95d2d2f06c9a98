import { ConfigurationError } from '../core/errors.js';
import type { Serializer } from '../core/serializer.js';

/** @throws ConfigurationError for what is no serializer: a name, say, or a class, as they stand in options of the bus */
export function assertInner(wrapper: string, inner: unknown): asserts inner is Serializer {
  const { encode, decode, contentType } = (inner ?? {}) as Partial<Record<keyof Serializer, unknown>>;
  if (typeof encode === 'function' && typeof decode === 'function' && typeof contentType === 'string') return;
  throw new ConfigurationError(
    `${wrapper} takes a serializer, such as new JsonSerializer() or await MsgpackSerializer.load(), not its name or class.`,
  );
}
