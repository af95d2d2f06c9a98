/** Remembers what a group has handled, so that a duplicate has no second effect. */
export interface InboxStore {
  /**
   * `new`: run the handler. `done`: this group has handled it. `busy`: somebody else is handling it. A claim without
   * `done` must expire after `leaseMs`, so that a crash in the handler loses nothing.
   */
  claim(group: string, messageId: string, leaseMs: number): Promise<'new' | 'done' | 'busy'>;
  done(group: string, messageId: string): Promise<void>;
  /** The handler failed: the next attempt must be `new`. */
  forget(group: string, messageId: string): Promise<void>;
}
