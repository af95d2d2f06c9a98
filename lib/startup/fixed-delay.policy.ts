import { pause } from '../core/deadline.js';
import { assertFixedDelay } from './startup-policy.checks.js';
import type { StartupPolicy } from './startup-policy.js';

/**
 * Consumers start so much later. For peers that cannot tell when they are ready; `handshakeBarrier` is for those that can.
 *
 * @param delayMs in milliseconds, from 0 to a day
 * @throws ConfigurationError
 * @example startup: { policy: fixedDelay(5_000) }
 * @publicApi
 */
export function fixedDelay(delayMs: number): StartupPolicy {
  assertFixedDelay(delayMs);
  return {
    name: 'fixed-delay',
    async waitUntilReady({ signal }) {
      await pause(delayMs, signal);
      signal.throwIfAborted();
    },
  };
}
