import type { Headers } from '../core/message.js';

/** In front of the names: those that tracing uses begin with `x-`, which is reserved. */
const PREFIX = 'nest-';

/** What a dispatch hook has put into `packet.metadata`, as headers. */
export function toMetadataHeaders(metadata: Readonly<Record<string, string>> | undefined): Headers | undefined {
  if (metadata === undefined) return undefined;
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${PREFIX}${name}`, value]));
}

export function readMetadata(headers: Headers): Readonly<Record<string, string>> | undefined {
  const found = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(PREFIX) && typeof value === 'string' ? [[name.slice(PREFIX.length), value] as const] : [],
  );
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}
