import { ConfigurationError, type MissingMembers } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { onOneLine, wildcardMatches } from '../core/text.js';
import type { Member } from './member.js';

/** So many patterns, and so many members in a message. */
const PATTERNS = 100;
const NAMED = 10;

interface Wanted {
  readonly pattern: string;
  readonly wanted: number;
  found: number;
}

/** Who is wanted, and how many of them are there: each instance counts once for every pattern that one of its roles fits. */
export class Requirements {
  private readonly all: readonly Wanted[];

  /** @throws ConfigurationError */
  constructor(raw: Readonly<Record<string, number>>, members: readonly Member[] = []) {
    assertRequirements(raw);
    this.all = Object.entries(raw).map(([pattern, wanted]) => ({ pattern, wanted, found: 0 }));
    for (const member of members) this.change(undefined, member);
  }

  get areMet(): boolean {
    return this.all.every(({ wanted, found }) => found >= wanted);
  }

  get missing(): readonly MissingMembers[] {
    return this.all.filter(({ wanted, found }) => found < wanted).map((one) => ({ ...one }));
  }

  change(before: Member | undefined, after: Member | undefined): void {
    for (const one of this.all) {
      if (before && fits(before, one.pattern)) one.found--;
      if (after && fits(after, one.pattern)) one.found++;
    }
  }

  /** Those of `members` who count. */
  pick(members: readonly Member[]): readonly Member[] {
    return members.filter((member) => this.all.some(({ pattern }) => fits(member, pattern)));
  }
}

/** Who is missing, and who is there. */
export function describeMissing(missing: readonly MissingMembers[], members: readonly Member[]): string {
  const lacks = missing.map(({ pattern, wanted, found }) => `"${pattern}" (${found} of ${wanted})`);
  const present = members.slice(0, NAMED).map(({ service, instanceId, roles }) => {
    const name = `${service === '' ? 'unnamed' : service}/${instanceId.slice(0, 8)}`;
    return `${name} (${roles.slice(0, NAMED).join(', ')}${roles.length > NAMED ? ', …' : ''})`;
  });
  if (members.length > NAMED) present.push(`and ${members.length - NAMED} more`);
  const there = present.length === 0 ? 'Nobody is ready.' : `Ready: ${present.join(', ')}.`;
  return onOneLine(`missing: ${lacks.join(', ')}. ${there}`);
}

function fits({ roles }: Member, pattern: string): boolean {
  return roles.some((role) => wildcardMatches(pattern, role));
}

function assertRequirements(raw: unknown): void {
  const problems: string[] = [];
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    throw new ConfigurationError("Requirements say how many of each role are wanted: { 'worker.*': 2 }.");
  const entries = Object.entries(raw);
  if (entries.length === 0) problems.push('The requirements are empty: name at least one role to wait for.');
  if (entries.length > PATTERNS) problems.push(`There are more than ${PATTERNS} requirements.`);
  for (const [pattern, wanted] of entries.slice(0, PATTERNS)) {
    if (pattern === '' || pattern.length > LIMITS.roleLength)
      problems.push(`A role, or a pattern of one, has 1 to ${LIMITS.roleLength} characters.`);
    else if (!Number.isSafeInteger(wanted) || wanted < 1 || wanted > LIMITS.members)
      problems.push(`requirements[${JSON.stringify(pattern)}] must be a whole number from 1 to ${LIMITS.members}.`);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
}
