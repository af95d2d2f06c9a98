import { StartupPolicyError } from '../core/errors.js';
import type { StartupContext, StartupFunction, StartupPolicy } from './startup-policy.js';

/** How errors and logs call it. */
function nameOf(policy: StartupPolicy | StartupFunction): string {
  if (policy.name) return policy.name;
  return typeof policy === 'function' ? 'function' : policy.constructor.name || 'policy';
}

/**
 * Waits for one policy.
 *
 * @throws StartupPolicyError that names it; the reason of the signal when that is aborted
 */
export async function passPolicy(policy: StartupPolicy | StartupFunction, context: StartupContext): Promise<void> {
  const { signal } = context;
  signal.throwIfAborted();
  try {
    await (typeof policy === 'function' ? policy(context) : policy.waitUntilReady(context));
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof StartupPolicyError ? error : new StartupPolicyError(nameOf(policy), error);
  }
  signal.throwIfAborted();
}
