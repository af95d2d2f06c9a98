/** So few suspects are tried one by one: a round trip is cheaper than another channel. */
const FEW = 8;

/**
 * Finds the message for which a broker closes the channel, among those that were under way, by halves: each part is sent
 * and the broker asked whether the channel still stands, before anything else is sent. When all have passed the parts grow
 * again.
 */
export class RabbitMqSuspects {
  /** How many are sent together. */
  private part = Number.POSITIVE_INFINITY;
  /** How many, from the first that has not passed, have the one to blame among them. */
  private accused = 0;
  /** Sent of the present part. */
  private tries = 0;
  private isAsked = false;

  /** Whether a part is on trial: what is sent now would be suspected too. */
  get isTrying(): boolean {
    return this.tries > 0;
  }

  /** @param count how many may have closed the channel */
  accuse(count: number): void {
    this.accused = count;
    this.part = half(count);
    this.forget();
  }

  /** The channel of the trial is gone. */
  forget(): void {
    this.tries = 0;
    this.isAsked = false;
  }

  /** Whether one more of them may be sent. */
  mayTry(): boolean {
    return !this.isAsked && this.tries < this.part;
  }

  tried(): void {
    this.tries++;
  }

  /** No more is sent of this part. @returns whether the broker has to be asked, which is to be done once */
  ask(): boolean {
    if (!this.isTrying || this.isAsked) return false;
    this.isAsked = true;
    return true;
  }

  /** The channel still stands. */
  passed(): void {
    this.accused -= this.tries;
    this.part = this.accused > 0 ? half(this.accused) : 2 * this.part;
    this.forget();
  }
}

function half(count: number): number {
  return count <= FEW ? 1 : Math.floor(count / 2);
}
