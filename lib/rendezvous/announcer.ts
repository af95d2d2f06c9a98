import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Member } from './member.js';
import type { Voice } from './voice.js';

/** Who asks at the same time gets one answer; and not all answer at the same time. */
const ANSWER_MIN_MS = 20;
const ANSWER_SPREAD_MS = 100;

export interface AnnouncerParts {
  readonly voice: Voice;
  readonly leaseMs: number;
  readonly logger: BusLogger;
}

/** Says again and again that this instance is ready: before its lease ends, and when somebody asks. */
export class Announcer {
  private own: Member | undefined;
  private renewal: NodeJS.Timeout | undefined;
  private answer: NodeJS.Timeout | undefined;
  /** Somebody has asked since it was last said. */
  private isAsked = false;
  private isSaying = false;
  private isWarned = false;
  private end = new AbortController();

  constructor(private readonly parts: AnnouncerParts) {}

  /** As it was announced; undefined when it was not, or was taken back. */
  get member(): Member | undefined {
    return this.own;
  }

  /** Resolves when the broker has it; if that fails, all is as it was before. */
  async announce(member: Member, signal: AbortSignal): Promise<void> {
    const before = this.own;
    this.own = member;
    try {
      await this.say(member, { signal });
    } catch (error) {
      if (before) this.own = before;
      else this.retire();
      throw error;
    }
  }

  /** Somebody who listens already wants to know. */
  ask(): void {
    if (!this.own) return;
    this.isAsked = true;
    this.answer ??= setTimeout(
      () => {
        this.answer = undefined;
        if (this.isAsked) this.sayAgain();
      },
      ANSWER_MIN_MS + Math.random() * ANSWER_SPREAD_MS,
    ).unref();
  }

  /** Says nothing more: what it was about to say is not sent. */
  retire(): void {
    this.own = undefined;
    this.isAsked = false;
    clearTimeout(this.renewal);
    clearTimeout(this.answer);
    this.answer = undefined;
    this.end.abort(new Error('It is not ready any more.'));
    this.end = new AbortController();
  }

  private say(member: Member, options: { readonly signal: AbortSignal; readonly timeoutMs?: number }): Promise<void> {
    const { voice, leaseMs } = this.parts;
    this.isAsked = false;
    this.renewLater();
    return voice.ready(member, leaseMs, options);
  }

  private renewLater(): void {
    clearTimeout(this.renewal);
    this.renewal = setTimeout(() => {
      this.renewLater();
      this.sayAgain();
    }, this.parts.leaseMs / 3).unref();
  }

  /** One at a time: while the broker is away, one that waits says it all. */
  private sayAgain(): void {
    const { own, end } = this;
    if (!own || this.isSaying) return;
    this.isSaying = true;
    this.say(own, { signal: end.signal, timeoutMs: this.parts.leaseMs })
      .then(
        () => {
          this.isWarned = false;
        },
        (error: unknown) => {
          if (!end.signal.aborted) this.warn(error);
        },
      )
      .finally(() => {
        this.isSaying = false;
        if (this.isAsked) this.ask();
      });
  }

  private warn(error: unknown): void {
    if (this.isWarned) return;
    this.isWarned = true;
    this.parts.logger.warn(
      `This instance cannot say that it is still ready, and may count as gone until it can: ${describeError(error)}`,
    );
  }
}
