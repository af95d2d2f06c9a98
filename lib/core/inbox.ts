/**
 * Remembers what a group has handled, so that a duplicate has no second effect. Shared by all instances of a service if
 * duplicates are to be recognized by another instance than the one that handled the first.
 *
 * A store may fail, or take its time: no message is lost by that. When `claim` rejects or takes longer than 5 seconds, or than
 * half of the handler's `timeoutMs`, the message is put off without an attempt being counted; when `done` or `forget` does, that is
 * logged.
 */
export interface InboxStore {
  /**
   * `new`: run the handler. `done`: this group has handled it. `busy`: somebody else is handling it. Must be atomic: of two
   * claims at one time, one gets `new`. A claim without `done` must expire after `leaseMs`, so that a crash in the handler
   * loses nothing.
   *
   * @param group whose work it is: with the namespace, and the oldest name of a group that was renamed
   * @param owner stands for one run of the handler: unlike that of every other run
   */
  claim(group: string, messageId: string, leaseMs: number, owner: string): Promise<'new' | 'done' | 'busy'>;
  /** The group has handled it: remembered for `windowMs`, whoever has claimed it since. */
  done(group: string, messageId: string, windowMs: number, owner: string): Promise<void>;
  /** The handler failed: the next attempt must be `new`. Does nothing if the claim is another owner's by now, or it is done. */
  forget(group: string, messageId: string, owner: string): Promise<void>;
}
