export const FIRST_BACKOFF_MS = 100;
/** Whoever publishes and whoever handles both have to come back: two such pauses are an outage's tail. */
const EARLY_CAP_MS = 1_000;
const LATE_CAP_MS = 30_000;
const EARLY_MS = 60_000;

/**
 * How long to wait before a round of tries. Equal jitter: half of it is certain, so that a fleet neither hammers nor comes
 * back in step.
 *
 * @param round counted from 1
 * @param chance from 0 to 1
 */
export function backoffMs(round: number, downForMs: number, chance: number = Math.random()): number {
  const cap = downForMs < EARLY_MS ? EARLY_CAP_MS : LATE_CAP_MS;
  const full = Math.min(cap, FIRST_BACKOFF_MS * 2 ** Math.min(20, round - 1));
  return full / 2 + (chance * full) / 2;
}
