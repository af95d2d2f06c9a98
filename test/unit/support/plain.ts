import { DecodeError } from '../../../lib/core/errors.js';

/** Whether a value and all in it is plain data: no class that somebody wrote, no changed prototype. */
export function isPlain(value: unknown, seen = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol';
  if (seen.has(value)) return true;
  seen.add(value);
  if (value instanceof Date || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return true;
  if (value instanceof Map) return [...value].flat().every((each) => isPlain(each, seen));
  if (value instanceof Set) return [...value].every((each) => isPlain(each, seen));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype) return false;
  return !Object.hasOwn(value, '__proto__') && Object.values(value).every((each) => isPlain(each, seen));
}

/** What comes of bytes that anybody may have written: only the first two are allowed. */
export function outcomeOf(read: () => unknown): string {
  try {
    return isPlain(read()) ? 'plain data' : 'something that is not plain data';
  } catch (error) {
    return error instanceof DecodeError ? 'a DecodeError' : `another error: ${String(error)}`;
  }
}

export const ALLOWED_OUTCOMES: readonly string[] = ['plain data', 'a DecodeError'];
