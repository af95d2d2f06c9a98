import { types } from 'node:util';

/** Whether it is an error, be it of this realm or of another (test runners and `vm` have their own `Error`). */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}
