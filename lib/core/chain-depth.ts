import { LIMITS } from './limits.js';

/** The depth that a message on the wire claims to have: none if it is no whole number above 0, and never more than the limit. */
export function readDepth(raw: unknown): number | undefined {
  return Number.isSafeInteger(raw) && (raw as number) > 0 ? Math.min(raw as number, LIMITS.chainDepth) : undefined;
}
