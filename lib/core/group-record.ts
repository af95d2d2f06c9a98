/** A group as its service has written it down. */
export interface RecordedGroup {
  /** As declared: with the namespace. */
  readonly name: string;
  /** Everything that it was ever bound to, as far as is known, but for what was unbound. */
  readonly patterns: readonly string[];
  /** Delays for which it may have retry queues. */
  readonly delaysMs: readonly number[];
  /** When a process of the service last had it, in milliseconds since 1970. */
  readonly seenAt: number;
}

/** A group as a process has it now. */
export interface PresentGroup extends Omit<RecordedGroup, 'seenAt'> {
  readonly unbind: readonly string[];
}

/** A recorded group with what the broker says of its queue, unless this process has the group itself. */
export interface KeptGroup extends RecordedGroup {
  readonly queue?: { readonly messages: number; readonly consumers: number };
}

/** What a service remembers of its groups beyond the life of its processes. */
export interface GroupRecord {
  /**
   * Adds `present` to what is recorded under `key`, forgets other groups whose queues are gone, and gives the rest. Instances of
   * several versions do so at the same time: none may undo what another has added. Bounded in time.
   */
  keep(key: string, present: readonly PresentGroup[]): Promise<readonly KeptGroup[]>;
}

/** So many patterns and delays of one group are remembered, the latest ones. */
const REMEMBERED = 100;
/** `seenAt` is written anew when it is older than this. */
const STALE_MS = 3_600_000;

/** What is recorded, brought up to date. The same array when nothing has changed that is worth writing down. */
export function mergeRecord(
  recorded: readonly RecordedGroup[],
  present: readonly PresentGroup[],
  now: number,
): readonly RecordedGroup[] {
  const groups = new Map<string, RecordedGroup>();
  for (const group of recorded) {
    const other = groups.get(group.name);
    groups.set(group.name, other ? joined(other, group) : group);
  }
  let isChanged = groups.size !== recorded.length;
  for (const { name, patterns, delaysMs, unbind } of present) {
    const old = groups.get(name);
    const next: RecordedGroup = {
      name,
      patterns: union(old?.patterns ?? [], patterns).filter((pattern) => !unbind.includes(pattern)),
      delaysMs: union(old?.delaysMs ?? [], delaysMs),
      seenAt: now,
    };
    if (
      old &&
      isSame(old.patterns, next.patterns) &&
      isSame(old.delaysMs, next.delaysMs) &&
      now - old.seenAt < STALE_MS
    )
      continue;
    groups.set(name, next);
    isChanged = true;
  }
  return isChanged ? [...groups.values()] : recorded;
}

/** Of one group two notes: a process has died between writing the new one and removing the old one. */
function joined(a: RecordedGroup, b: RecordedGroup): RecordedGroup {
  return {
    name: a.name,
    patterns: union(a.patterns, b.patterns),
    delaysMs: union(a.delaysMs, b.delaysMs),
    seenAt: Math.max(a.seenAt, b.seenAt),
  };
}

/** What somebody else's bytes say, as far as it makes sense. */
export function readRecord(value: unknown): readonly RecordedGroup[] {
  return Array.isArray(value) ? value.filter(isRecordedGroup) : [];
}

function isRecordedGroup(value: unknown): value is RecordedGroup {
  if (typeof value !== 'object' || value === null) return false;
  const { name, patterns, delaysMs, seenAt } = value as Partial<Record<keyof RecordedGroup, unknown>>;
  return (
    typeof name === 'string' &&
    isListOf(patterns, (pattern) => typeof pattern === 'string') &&
    isListOf(delaysMs, (ms) => Number.isSafeInteger(ms) && (ms as number) > 0) &&
    Number.isSafeInteger(seenAt)
  );
}

function isListOf(value: unknown, isOne: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

function union<T>(old: readonly T[], added: readonly T[]): readonly T[] {
  return [...new Set([...old, ...added])].slice(-REMEMBERED);
}

function isSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
