import type { StartupPolicy } from './startup-policy.js';

/**
 * Consumers start at once, as without any policy: for an option that says so.
 *
 * @example startup: { policy: isAlone ? noWait() : handshakeBarrier({ billing: 1 }) }
 * @publicApi
 */
export function noWait(): StartupPolicy {
  return { name: 'no-wait', waitUntilReady: async () => undefined };
}
