import { LIMITS } from '../core/limits.js';
import type { Member, MembershipChange } from './member.js';

interface Entry {
  readonly member: Member;
  /** By the clock of this process; Infinity for this instance itself. */
  readonly endsAt: number;
}

/** What became of a member; `renewed` is nothing new. */
type Taken = 'joined' | 'changed' | 'renewed' | 'full';

/** Is told of every change, with what the member was before and what it is now. */
export type OnChange = (kind: MembershipChange['kind'], before: Member | undefined, after: Member | undefined) => void;

/** Who is ready, as far as this instance has heard. One timer, for the lease that ends first. */
export class Roster {
  private readonly entries = new Map<string, Entry>();
  private timer: NodeJS.Timeout | undefined;
  private wakesAt = Number.POSITIVE_INFINITY;

  constructor(private readonly onChange: OnChange) {}

  get members(): readonly Member[] {
    return Array.from(this.entries.values(), ({ member }) => member);
  }

  /**
   * @param leaseMs from now on; Infinity for ever, which is this instance itself: there is always room for it
   * @param isSinceTold false when its `since` is a guess, which says nothing of one who is known
   */
  take(member: Member, leaseMs: number, isSinceTold = true): Taken {
    const { instanceId } = member;
    const before = this.entries.get(instanceId)?.member;
    const isRoom = this.entries.size < LIMITS.members || leaseMs === Number.POSITIVE_INFINITY;
    if (!before && !isRoom) return 'full';
    const isSame = before !== undefined && isEqual(before, member) && (before.since === member.since || !isSinceTold);
    const endsAt = performance.now() + leaseMs;
    this.entries.set(instanceId, { member: isSame ? before : member, endsAt });
    if (endsAt < this.wakesAt) this.wakeAt(endsAt);
    if (isSame) return 'renewed';
    const kind = before ? 'changed' : 'joined';
    this.onChange(kind, before, member);
    return kind;
  }

  drop(instanceId: string): void {
    this.remove(instanceId, 'left');
  }

  /** Forgets everybody; nobody is told. */
  clear(): void {
    this.entries.clear();
    clearTimeout(this.timer);
    this.wakesAt = Number.POSITIVE_INFINITY;
  }

  private remove(instanceId: string, kind: 'left' | 'expired'): void {
    const before = this.entries.get(instanceId)?.member;
    if (!before) return;
    this.entries.delete(instanceId);
    this.onChange(kind, before, undefined);
  }

  private wakeAt(endsAt: number): void {
    clearTimeout(this.timer);
    this.wakesAt = endsAt;
    if (endsAt === Number.POSITIVE_INFINITY) return;
    this.timer = setTimeout(() => this.expire(), Math.max(1, Math.ceil(endsAt - performance.now()))).unref();
  }

  private expire(): void {
    const now = performance.now();
    const ended = [...this.entries].filter(([, { endsAt }]) => endsAt <= now);
    this.wakesAt = Number.POSITIVE_INFINITY;
    for (const [id] of ended) this.remove(id, 'expired');
    let next = Number.POSITIVE_INFINITY;
    for (const { endsAt } of this.entries.values()) next = Math.min(next, endsAt);
    if (next < this.wakesAt) this.wakeAt(next);
  }
}

function isEqual(a: Member, b: Member): boolean {
  return (
    a.service === b.service && a.roles.length === b.roles.length && a.roles.every((role, i) => role === b.roles[i])
  );
}
