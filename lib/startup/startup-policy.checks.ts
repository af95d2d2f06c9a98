import { isClass } from '../core/constructor.js';
import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import {
  bool,
  type Check,
  either,
  integer,
  listOf,
  madeWithMethods,
  oneOf,
  recordOf,
  type Shape,
  shape,
  text,
} from '../core/options.js';
import type { StartupPolicyOptions } from './startup-policy.js';

type PolicyType = StartupPolicyOptions['type'];

const DAY_MS = 86_400_000;
const KINDS =
  'noWait(), fixedDelay(ms), handshakeBarrier(requirements), policyChain(policies), a function, or an object or class with the method waitUntilReady';

const role: Check = (value, path, problems) => {
  if (typeof value !== 'string' || isRole(value)) text()(value, path, problems);
  else problems.push(`${path} must be 1 to ${LIMITS.roleLength} characters.`);
};

function isRole(value: string): boolean {
  return value !== '' && value.length <= LIMITS.roleLength;
}

function ofRoles(check: Check): Check {
  return (value, path, problems) => {
    check(value, path, problems);
    if (typeof value !== 'object' || value === null) return;
    const roles = Object.keys(value);
    if (roles.length === 0) problems.push(`${path} must name at least one role.`);
    if (!roles.every(isRole))
      problems.push(`${path} has a role that is empty, or has more than ${LIMITS.roleLength} characters.`);
  };
}

const FIXED_DELAY: Shape = { delayMs: integer(0, DAY_MS) };
const HANDSHAKE_BARRIER: Shape = {
  requirements: ofRoles(recordOf(integer(1, LIMITS.members))),
  timeoutMs: integer(1, DAY_MS),
  onTimeout: oneOf(['fail', 'continue']),
  announce: listOf(role),
};
const CHAIN: Shape = { mode: oneOf(['sequential', 'parallel']), failFast: bool };

const FORMS: Readonly<Record<PolicyType, { readonly keys: Shape; readonly required: readonly string[] }>> = {
  'no-wait': { keys: {}, required: [] },
  'fixed-delay': { keys: FIXED_DELAY, required: ['delayMs'] },
  'handshake-barrier': { keys: HANDSHAKE_BARRIER, required: ['requirements'] },
  chain: {
    keys: { ...CHAIN, policies: (value, path, problems) => listOf(startupPolicyCheck)(value, path, problems) },
    required: ['policies'],
  },
};

/** Policies that run as they are: what `policyChain` takes. */
const LIVE: Check = (value, path, problems) => {
  if (typeof value === 'function' && !isClass(value)) return;
  if (isPolicy(value)) {
    checkName(value, path, problems);
    return;
  }
  problems.push(
    `${path} must be a policy or a function. Classes and data go into { type: 'chain', policies: […] }, of which the bus makes them.`,
  );
};

/** An object that is a policy already. */
export function isPolicy(value: unknown): value is { readonly name?: unknown } {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { readonly waitUntilReady?: unknown }).waitUntilReady === 'function'
  );
}

function checkName({ name }: { readonly name?: unknown }, path: string, problems: string[]): void {
  if (name !== undefined) text()(name, `${path}.name`, problems);
}

const dataCheck: Check = (value, path, problems) => {
  const { type } = (value ?? {}) as { readonly type?: unknown };
  if (typeof value !== 'object' || value === null || type === undefined) {
    problems.push(`${path} must be ${KINDS}, or data with a type: ${Object.keys(FORMS).join(', ')}.`);
    return;
  }
  if (typeof type !== 'string' || !Object.hasOwn(FORMS, type)) {
    oneOf(Object.keys(FORMS))(type, `${path}.type`, problems);
    return;
  }
  const { keys, required } = FORMS[type as PolicyType];
  shape({ ...keys, type: text() })(value, path, problems);
  for (const key of required) {
    if ((value as Readonly<Record<string, unknown>>)[key] === undefined) problems.push(`${path}.${key} is required.`);
  }
};

/** One policy, in any of its forms. */
const startupPolicyCheck: Check = either((value) => {
  if (typeof value === 'function') return isClass(value) ? madeWithMethods(['waitUntilReady']) : () => undefined;
  return isPolicy(value) ? (policy, path, problems) => checkName(policy as object, path, problems) : dataCheck;
});

/** The option: one policy, or several that are taken one after the other. */
export const STARTUP_POLICY_CHECK: Check = either((value) =>
  Array.isArray(value) ? listOf(startupPolicyCheck) : startupPolicyCheck,
);

/** @throws ConfigurationError */
export function assertFixedDelay(delayMs: unknown): void {
  assertShape({ delayMs }, FIXED_DELAY, 'fixedDelay');
}

/** @throws ConfigurationError with all problems at once */
export function assertHandshakeBarrier(requirements: unknown, options: object): void {
  assertShape({ ...options, requirements }, HANDSHAKE_BARRIER, 'handshakeBarrier');
}

/** @throws ConfigurationError with all problems at once */
export function assertPolicyChain(policies: unknown, options: object): void {
  assertShape({ ...options, policies }, { ...CHAIN, policies: listOf(LIVE) }, 'policyChain');
}

function assertShape(values: Readonly<Record<string, unknown>>, keys: Shape, path: string): void {
  const problems: string[] = [];
  shape(keys)(values, path, problems);
  for (const key of ['delayMs', 'requirements', 'policies']) {
    if (Object.hasOwn(values, key) && values[key] === undefined) problems.push(`${path}.${key} is required.`);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
}
