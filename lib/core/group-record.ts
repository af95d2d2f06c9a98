/** What a group is bound to, as a broker knows it. */
export interface RecordedBinding {
  /** As declared: with the namespace. */
  readonly exchange: string;
  readonly pattern: string;
}

/** A group as its service has written it down. */
export interface RecordedGroup {
  /** As declared: with the namespace. */
  readonly name: string;
  /** Everything that it was ever bound to, as far as is known, but for what was unbound. */
  readonly bindings: readonly RecordedBinding[];
  /** Delays for which it may have retry queues. */
  readonly delaysMs: readonly number[];
  /** When a process of the service last had it, in milliseconds since 1970. */
  readonly seenAt: number;
}

/** A group as a process has it now. */
export interface PresentGroup extends Omit<RecordedGroup, 'seenAt'> {
  /** The exchange that it has now, as declared. */
  readonly exchange: string;
  readonly unbind: readonly RecordedBinding[];
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

/** So many bindings and delays of one group are remembered, the latest ones. */
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
  for (const { name, bindings, delaysMs, unbind } of present) {
    const old = groups.get(name);
    const next: RecordedGroup = {
      name,
      bindings: bindingsOf(old?.bindings ?? [], bindings).filter((binding) => !hasBinding(unbind, binding)),
      delaysMs: union(old?.delaysMs ?? [], delaysMs),
      seenAt: now,
    };
    if (
      old &&
      isSame(old.bindings.map(idOf), next.bindings.map(idOf)) &&
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
    bindings: bindingsOf(a.bindings, b.bindings),
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
  const { name, bindings, delaysMs, seenAt } = value as Partial<Record<keyof RecordedGroup, unknown>>;
  return (
    typeof name === 'string' &&
    isListOf(bindings, isRecordedBinding) &&
    isListOf(delaysMs, (ms) => Number.isSafeInteger(ms) && (ms as number) > 0) &&
    Number.isSafeInteger(seenAt)
  );
}

function isRecordedBinding(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { exchange, pattern } = value as Partial<Record<keyof RecordedBinding, unknown>>;
  return typeof exchange === 'string' && exchange !== '' && typeof pattern === 'string';
}

function isListOf(value: unknown, isOne: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isOne);
}

/** Whether it is one of them. */
export function hasBinding(bindings: readonly RecordedBinding[], wanted: RecordedBinding): boolean {
  return bindings.some(({ exchange, pattern }) => exchange === wanted.exchange && pattern === wanted.pattern);
}

function bindingsOf(old: readonly RecordedBinding[], added: readonly RecordedBinding[]): readonly RecordedBinding[] {
  const byId = new Map([...old, ...added].map((binding) => [idOf(binding), binding]));
  return [...byId.values()].slice(-REMEMBERED);
}

function idOf({ exchange, pattern }: RecordedBinding): string {
  return JSON.stringify([exchange, pattern]);
}

function union<T>(old: readonly T[], added: readonly T[]): readonly T[] {
  return [...new Set([...old, ...added])].slice(-REMEMBERED);
}

function isSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
