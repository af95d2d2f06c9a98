import { types } from 'node:util';
import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';

/** Equal to nothing but itself. */
const INCOMPARABLE = Symbol('too deep to be compared');

/**
 * What of a payload counts when it is compared: as it would be decoded, without the classes of its objects, and the same whichever
 * form it has here. Never throws for what comes from a wire.
 */
export function comparable(payload: unknown): unknown {
  try {
    return plain(payload, 0);
  } catch {
    return INCOMPARABLE;
  }
}

/** The same of a target, as it is now: what its owner changes later does not count. @throws ConfigurationError */
export function comparableTarget(target: unknown, at: string): unknown {
  try {
    return plain(target, 0);
  } catch (cause) {
    throw new ConfigurationError(
      `${at} cannot be compared: it has a cycle, is nested deeper than ${LIMITS.depth} levels, or its toJSON throws. Use a predicate.`,
      { cause },
    );
  }
}

/** @param isJson whether it comes from a `toJSON`, of which the result is taken as it is */
function plain(value: unknown, depth: number, isJson = false): unknown {
  if (typeof value === 'number') return plainNumber(value);
  if (typeof value === 'function' || typeof value === 'symbol') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (depth > LIMITS.depth) throw new RangeError('too deep');
  if (Array.isArray(value)) return Array.from(value, (item: unknown) => plain(item, depth + 1) ?? null);
  // a Buffer and a Uint8Array are the same bytes
  if (types.isUint8Array(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (isKeptAsItIs(value)) return value;
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function' && !isJson) return plain(toJSON.call(value), depth + 1, true);
  const fields = Object.create(null) as Record<string, unknown>;
  for (const [name, field] of Object.entries(value)) {
    const plainField = plain(field, depth + 1);
    if (plainField !== undefined) fields[name] = plainField;
  }
  return fields;
}

/** In JSON there is no -0, and what is not finite is null. */
function plainNumber(value: number): number | null {
  if (value === 0) return 0;
  return Number.isFinite(value) ? value : null;
}

function isKeptAsItIs(value: object): boolean {
  return (
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isMap(value) ||
    types.isSet(value) ||
    types.isRegExp(value)
  );
}
