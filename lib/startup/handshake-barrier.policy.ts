import { RendezvousTimeoutError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import { DEFAULTS } from '../core/limits.js';
import { assertHandshakeBarrier } from './startup-policy.checks.js';
import type { HandshakeBarrierOptions, StartupPolicy } from './startup-policy.js';

const NAME = 'handshake-barrier';

/**
 * Consumers start when so many instances have announced each of these roles.
 *
 * @param requirements how many of each role, from 1 on
 * @throws ConfigurationError with all problems at once
 * @example startup: { policy: handshakeBarrier({ billing: 1, 'worker.*': 2 }, { announce: ['orders'] }) }
 * @publicApi
 */
export function handshakeBarrier(
  requirements: Readonly<Record<string, number>>,
  options: HandshakeBarrierOptions = {},
): StartupPolicy {
  assertHandshakeBarrier(requirements, options);
  const { timeoutMs = DEFAULTS.rendezvousTimeoutMs, onTimeout = 'fail', announce = [] } = options;
  const wanted = Object.entries(requirements)
    .map(([role, count]) => `${count} × ${role}`)
    .join(', ');
  return {
    name: NAME,
    async waitUntilReady({ rendezvous, signal, logger }) {
      // first: who waits for this one may be whom it waits for
      if (announce.length > 0) await rendezvous.announceReady(announce);
      signal.throwIfAborted();
      logger.log(`Waits up to ${timeoutMs} ms for ${wanted} before anything is consumed`);
      try {
        await rendezvous.waitUntilReady(requirements, { timeoutMs, signal });
      } catch (error) {
        signal.throwIfAborted();
        // that peers are missing; anything else is wrong whatever is done about them
        if (onTimeout === 'fail' || !(error instanceof RendezvousTimeoutError)) throw error;
        logger.warn(`The startup policy "${NAME}" goes on without its peers. ${describeError(error)}`);
      }
    },
  };
}
