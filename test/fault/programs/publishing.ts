import { setTimeout as pause } from 'node:timers/promises';
import type { EventBusError, EventBusService } from '../../../lib/index.js';
import type { Ledger } from '../harness/ledger.js';
import type { PublisherEnd } from '../harness/ledger-book.js';
import type { PublisherSettings } from './settings.js';

const RESERVE = 1_000;
/** A publish has to settle within its timeout and so much more. */
const GRACE_MS = 1_000;
const REJECTED_PAUSE_MS = 20;
const CLOSED = 'BUS_CLOSED';

/** Publishes as fast as it is answered, and keeps book of every outcome. */
export class PublisherLoad {
  private next = 1;
  private reserved = 0;
  private confirmed = 0;
  private rejected = 0;
  private late = 0;
  private slowestMs = 0;
  private isStopped = false;
  private readonly pad: string;

  constructor(
    private readonly bus: EventBusService,
    private readonly settings: PublisherSettings,
    private readonly ledger: Ledger,
  ) {
    this.pad = 'x'.repeat(Math.max(0, (settings.bytes ?? 0) - 60));
  }

  /** Resolves when it has been stopped and every publish has settled, or should have. */
  async run(): Promise<PublisherEnd> {
    const loops = Array.from({ length: this.settings.publishers }, () => this.loop());
    await Promise.race([Promise.all(loops), this.tooLate()]);
    const sent = this.next - 1;
    const { confirmed, rejected, late, slowestMs } = this;
    const end: PublisherEnd = { sent, confirmed, rejected, pending: sent - confirmed - rejected, late, slowestMs };
    this.ledger.flush();
    this.ledger.write(`e ${JSON.stringify(end)}`);
    return end;
  }

  stop(): void {
    this.isStopped = true;
  }

  /** One more, outside the loops; its handling is told of. */
  async probe(probe: number): Promise<void> {
    await this.publish({ probe });
  }

  private async loop(): Promise<void> {
    while (!this.isStopped) {
      const code = await this.publish({});
      if (code === CLOSED) this.isStopped = true;
      else if (code !== undefined) await pause(REJECTED_PAUSE_MS);
      if (this.settings.pauseMs) await pause(this.settings.pauseMs);
    }
  }

  /** @returns the code of the error, if it was rejected */
  private async publish(more: object): Promise<string | undefined> {
    const n = this.next++;
    if (n > this.reserved) {
      this.reserved = n + RESERVE;
      this.ledger.write(`r ${this.settings.publisher} ${this.reserved}`);
    }
    const id = `${this.settings.publisher}-${n}`;
    const began = performance.now();
    let code: string | undefined;
    try {
      await this.bus.publish('work.do', { id, n, pad: this.pad, ...more }, { id, unroutable: 'reject' });
      this.confirmed++;
      this.ledger.note(`c ${id}`);
    } catch (error) {
      code = (error as EventBusError).code ?? String(error);
      this.rejected++;
      this.ledger.note(`f ${id} ${code}`);
    }
    const ms = performance.now() - began;
    if (ms > this.slowestMs) this.slowestMs = ms;
    if (ms > this.settings.timeoutMs + GRACE_MS) this.late++;
    return code;
  }

  private async tooLate(): Promise<void> {
    while (!this.isStopped) await pause(50);
    await pause(this.settings.timeoutMs + GRACE_MS, undefined, { ref: false });
  }
}
