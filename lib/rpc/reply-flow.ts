import { StreamBrokenError } from '../core/errors.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import type { Message } from '../core/message.js';
import { partOf, type ReplyKind } from './rpc.wire.js';

/** So many beats without a part that came or was taken: longer than a handler can run. */
const FORGOTTEN_BEATS = Math.ceil((2 * LIMITS.holdMs) / DEFAULTS.streamBeatMs);

/** The parts of one answer, as they come: which is the next one, and how many may come before some have been taken. */
export class ReplyFlow {
  /** Where whoever answers is talked to. */
  address: string | undefined;
  /** How many parts may come in all. */
  limit: number;
  private come = 0;
  private taken = 0;
  private quietBeats = 0;

  constructor(
    private readonly id: string,
    private readonly topic: string,
    private readonly window: number,
  ) {
    this.limit = window;
  }

  /** Whether anything may come at present. */
  get isAwaited(): boolean {
    return this.come < this.limit;
  }

  /**
   * @returns whether it is the next answer; not one that was here before
   * @throws StreamBrokenError when one is missing, or when somebody else has begun to answer from the start
   */
  isNext(kind: ReplyKind, { id, replyTo }: Message): boolean {
    if (kind === 'error') return true;
    const part = partOf(this.id, id);
    if (part !== undefined && part < this.come) {
      this.assertSame(replyTo);
      return false;
    }
    if (part !== undefined && part > this.come)
      throw new StreamBrokenError(this.topic, `part ${this.come} is missing, and part ${part} has come.`);
    if (kind !== 'part') return true;
    this.assertSame(replyTo);
    // who does not number them does not count either
    if (part === undefined && this.come - this.taken >= LIMITS.streamCredit)
      throw new StreamBrokenError(this.topic, `more than ${LIMITS.streamCredit} parts wait to be read.`);
    if (part !== undefined && !this.isAwaited)
      throw new StreamBrokenError(this.topic, 'more parts have come than were asked for.');
    this.address ??= replyTo;
    this.come++;
    this.quietBeats = 0;
    return true;
  }

  /** One part has been read. @returns whether it is time to grant more, which then have been added to `limit` */
  take(): boolean {
    this.taken++;
    this.quietBeats = 0;
    if (this.limit - this.taken > this.window / 2) return false;
    this.limit = this.taken + this.window;
    return true;
  }

  /** To be asked at each beat. @returns whether nobody reads it although nothing more comes */
  isForgotten(): boolean {
    return ++this.quietBeats > FORGOTTEN_BEATS;
  }

  private assertSame(replyTo: string | undefined): void {
    if (this.address === undefined || replyTo === undefined || replyTo === this.address) return;
    throw new StreamBrokenError(this.topic, 'its handler was lost, and another one has begun from the start.');
  }
}
