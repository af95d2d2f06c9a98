/** After so many windows behind a message that is never confirmed, the channel is exchanged. */
const BEHIND_WINDOWS = 10;
/** So long after a first refusal a channel is exchanged at the next one. */
const REFUSED_MS = 5_000;
/** A channel that is to be exchanged waits so long for answers; what has none by then is sent again on the next one. */
const LEAVE_MS = 500;
/** After that, and whatever else has worn it out, the next one is kept for so long: each exchange sends messages twice. */
const REST_MS = 30_000;

/**
 * What makes a channel for publishing not worth keeping. The driver has a place for every message behind one that is never
 * confirmed; and a queue that was full may have room again, of which RabbitMQ 3.10 tells only new channels.
 */
export class RabbitMqChannelWear {
  /** Sent on it, never confirmed, and no longer waited for. */
  private unanswered = 0;
  /** Sent since the first of those. */
  private behind = 0;
  private refusedAt: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** When a channel was exchanged last with messages under way. */
  private forcedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param exchange takes another channel; called when one has been worn out for some time
   * @param isNeeded for a channel that cannot be replaced while it is needed; it is used meanwhile
   */
  constructor(
    private readonly window: number,
    private readonly exchange: () => void,
    private readonly isNeeded?: () => boolean,
  ) {}

  /** Nothing more is to be sent on it, and without anything under way it can be exchanged at once. */
  get isWornOut(): boolean {
    return this.timer !== undefined && !this.isNeeded;
  }

  get hasUnanswered(): boolean {
    return this.unanswered > 0;
  }

  sent(): void {
    if (this.unanswered > 0 && ++this.behind >= BEHIND_WINDOWS * this.window) this.wearOut();
  }

  /** @param isSuspect it may still close the channel, and must not take others with it */
  gaveUp(isSuspect: boolean): void {
    this.unanswered++;
    if (isSuspect) this.leave();
    else if (this.unanswered >= this.window) this.wearOut();
  }

  /** One that was given up has been answered after all; those of a channel before are not counted. */
  answered(): void {
    if (this.unanswered > 0 && --this.unanswered === 0) this.behind = 0;
  }

  refused(): void {
    this.refusedAt ??= Date.now();
    if (Date.now() - this.refusedAt >= REFUSED_MS) this.wearOut();
  }

  /** For a new channel, or none. */
  reset(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.unanswered = 0;
    this.behind = 0;
    this.refusedAt = undefined;
  }

  private wearOut(): void {
    if (Date.now() - this.forcedAt >= REST_MS) this.leave();
  }

  private leave(): void {
    this.timer ??= setTimeout(() => {
      if (this.isNeeded?.()) {
        this.timer = undefined;
        this.leave();
        return;
      }
      this.forcedAt = Date.now();
      this.exchange();
    }, LEAVE_MS);
  }
}
