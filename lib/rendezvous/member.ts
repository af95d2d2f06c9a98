/** An instance that has said that it is ready. */
export interface Member {
  /** Its own for as long as its process runs. */
  readonly instanceId: string;
  /** Of its options; empty when it has none. */
  readonly service: string;
  /** Each once, in the order in which it has given them. */
  readonly roles: readonly string[];
  /** Since when it is ready in these roles, in milliseconds since 1970, by its own clock. */
  readonly since: number;
}

/** Who has come or gone. */
export interface MembershipChange {
  /** `left`: it has said so. `expired`: it was not heard of for longer than its lease. `changed`: it has other roles now. */
  readonly kind: 'joined' | 'left' | 'expired' | 'changed';
  /** As it is now, or as it was last. */
  readonly member: Member;
  /** Who is there after it. */
  readonly members: readonly Member[];
}
