import { passPolicy } from './pass-policy.js';
import type { StartupContext, StartupFunction, StartupPolicy, StartupRendezvous } from './startup-policy.js';

export interface GateParts extends Omit<StartupContext, 'signal' | 'rendezvous'> {
  /** Makes what is waited for; called when it is first needed. */
  readonly policy: () => Promise<StartupPolicy | StartupFunction>;
  /** Gives that of the bus; called when the bus is made. */
  readonly rendezvous: () => StartupRendezvous;
}

/** What a bus asks before it consumes. */
export function startupGate({ policy, rendezvous, ...parts }: GateParts): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    const made = await policy();
    await passPolicy(made, { ...parts, rendezvous: rendezvous(), signal });
  };
}
