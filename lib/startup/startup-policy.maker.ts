import { type Constructor, isClass } from '../core/constructor.js';
import { fixedDelay } from './fixed-delay.policy.js';
import { handshakeBarrier } from './handshake-barrier.policy.js';
import { noWait } from './no-wait.policy.js';
import { policyChain } from './policy-chain.js';
import { isPolicy } from './startup-policy.checks.js';
import type { StartupFunction, StartupPolicy, StartupPolicyInput, StartupPolicyOptions } from './startup-policy.js';

/** Makes a policy of a class of the user's own; `path` is that of its option. */
export type MakePolicy = (type: Constructor<StartupPolicy>, path: string) => Promise<StartupPolicy>;

/** Makes what the option asks for, which has been checked. */
export async function makeStartupPolicy(
  input: StartupPolicyInput | readonly StartupPolicyInput[],
  make: MakePolicy,
  path: string,
): Promise<StartupPolicy | StartupFunction> {
  if (isList(input)) return policyChain(await makeAll(input, make, path));
  if (typeof input === 'function')
    return isClass(input) ? make(input as Constructor<StartupPolicy>, path) : (input as StartupFunction);
  return isPolicy(input) ? (input as StartupPolicy) : fromData(input as StartupPolicyOptions, make, path);
}

async function fromData(data: StartupPolicyOptions, make: MakePolicy, path: string): Promise<StartupPolicy> {
  switch (data.type) {
    case 'no-wait':
      return noWait();
    case 'fixed-delay':
      return fixedDelay(data.delayMs);
    case 'handshake-barrier': {
      const { type: _, requirements, ...options } = data;
      return handshakeBarrier(requirements, options);
    }
    case 'chain': {
      const { type: _, policies, ...options } = data;
      return policyChain(await makeAll(policies, make, `${path}.policies`), options);
    }
    default:
      return data satisfies never;
  }
}

function makeAll(
  inputs: readonly StartupPolicyInput[],
  make: MakePolicy,
  path: string,
): Promise<(StartupPolicy | StartupFunction)[]> {
  return Promise.all(inputs.map((input, index) => makeStartupPolicy(input, make, `${path}[${index}]`)));
}

function isList(input: StartupPolicyInput | readonly StartupPolicyInput[]): input is readonly StartupPolicyInput[] {
  return Array.isArray(input);
}
