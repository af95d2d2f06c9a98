import { setMaxListeners } from 'node:events';
import { describeError } from '../core/failure.js';
import { passPolicy } from './pass-policy.js';
import { assertPolicyChain } from './startup-policy.checks.js';
import type { PolicyChainOptions, StartupContext, StartupFunction, StartupPolicy } from './startup-policy.js';

type Live = StartupPolicy | StartupFunction;

/**
 * Several policies as one. An empty one lets everything pass.
 *
 * @throws ConfigurationError with all problems at once
 * @example
 * startup: { policy: policyChain([fixedDelay(500), handshakeBarrier({ billing: 1 })], { mode: 'parallel' }) }
 * @publicApi
 */
export function policyChain(policies: readonly Live[], options: PolicyChainOptions = {}): StartupPolicy {
  assertPolicyChain(policies, options);
  const { mode = 'sequential', failFast = true } = options;
  const pass = mode === 'parallel' ? passTogether : passInOrder;
  return { name: 'chain', waitUntilReady: (context) => pass([...policies], context, failFast) };
}

async function passInOrder(policies: readonly Live[], context: StartupContext, failFast: boolean): Promise<void> {
  for (const policy of policies) {
    if (failFast) await passPolicy(policy, context);
    else await passAnyhow(policy, context);
  }
}

async function passTogether(policies: readonly Live[], context: StartupContext, failFast: boolean): Promise<void> {
  if (!failFast) {
    await Promise.allSettled(policies.map((policy) => passAnyhow(policy, context)));
    context.signal.throwIfAborted();
    return;
  }
  const end = new AbortController();
  const shared = { ...context, signal: AbortSignal.any([context.signal, end.signal]) };
  setMaxListeners(0, shared.signal); // each policy listens to it
  // all of them have ended, so that nothing uses what a failed start takes down
  await Promise.all(policies.map((policy) => passPolicy(policy, shared).catch((error: unknown) => end.abort(error))));
  shared.signal.throwIfAborted();
}

/** @throws the reason of the signal, and nothing else */
async function passAnyhow(policy: Live, context: StartupContext): Promise<void> {
  try {
    await passPolicy(policy, context);
  } catch (error) {
    context.signal.throwIfAborted();
    context.logger.error(`${describeError(error)} The start goes on all the same.`);
  }
}
