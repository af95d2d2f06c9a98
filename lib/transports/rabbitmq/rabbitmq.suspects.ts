/** So few suspects are tried one by one: a round trip is cheaper than another channel. */
const FEW = 8;

/**
 * Finds the message for which a broker closes the channel, among those that were under way, by halves: each part is sent
 * alone, and either takes the channel along or clears its members. When all are cleared the parts grow again.
 */
export class RabbitMqSuspects {
  /** How many are sent together. */
  private part = Number.POSITIVE_INFINITY;
  /** How many, from the first that is not cleared, have the one to blame among them. */
  private accused = 0;
  private room = 0;
  private tries = 0;
  private underWay = 0;

  /** While some of them are under way nothing else may be: it would be suspected too. */
  get isTrying(): boolean {
    return this.underWay > 0;
  }

  /** @param count how many the closed channel had under way */
  accuse(count: number): void {
    this.accused = count;
    this.part = half(count);
    this.forget();
  }

  /** Their channel is gone. */
  forget(): void {
    this.underWay = 0;
    this.room = 0;
  }

  /** Whether one more of them may be sent, beside `inFlight` messages of any kind. */
  mayTry(inFlight: number): boolean {
    if (inFlight === 0) {
      this.room = this.part;
      this.tries = 0;
    }
    return this.room > 0 && inFlight === this.underWay;
  }

  tried(): void {
    this.room--;
    this.tries++;
    this.underWay++;
  }

  /** One of those under way has its answer. */
  cleared(): void {
    if (--this.underWay > 0) return;
    this.accused -= this.tries;
    this.part = this.accused > 0 ? half(this.accused) : 2 * this.part;
  }
}

function half(count: number): number {
  return count <= FEW ? 1 : Math.floor(count / 2);
}
