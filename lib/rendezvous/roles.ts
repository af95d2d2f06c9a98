import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { isName } from './rendezvous.wire.js';

export function areSameRoles(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((role, i) => role === others[i]);
}

/** @throws ConfigurationError for roles that are none; each once otherwise */
export function checkRoles(roles: readonly string[]): readonly string[] {
  const own = Array.isArray(roles) ? [...new Set<string>(roles)] : [];
  if (own.length > 0 && own.length <= LIMITS.roles && own.every(isName)) return Object.freeze(own);
  throw new ConfigurationError(
    `Roles are 1 to ${LIMITS.roles} texts of 1 to ${LIMITS.roleLength} characters: announceReady(['worker']). To be in none, withdraw().`,
  );
}
