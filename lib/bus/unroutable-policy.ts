/** What can become of an event that no group gets. */
export const UNROUTABLE_POLICIES = ['warn', 'reject', 'ignore', 'store', 'alternate-exchange'] as const;

/**
 * What becomes of an event that no group gets. In all cases it is counted.
 * - `warn`: the publish resolves with `routed: false`, and the log says so, once per topic.
 * - `reject`: it rejects with an UnroutableError.
 * - `ignore`: it resolves with `routed: false`, and nobody is told.
 * - `store`: as `ignore`, and `popUnroutables()` gives it: it is kept in the memory of this process.
 * - `alternate-exchange`: as `ignore`, and the transport keeps it for the group `<exchange>.unroutable`.
 */
export type UnroutablePolicy = (typeof UNROUTABLE_POLICIES)[number];
