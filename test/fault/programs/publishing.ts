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
const UNROUTED = 'UNROUTED';
const TOPICS = ['work.do'];

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

  /** One more that crashes whoever can be crashed. @returns its id */
  async poison(): Promise<string> {
    const id = `${this.settings.publisher}-${this.next}`;
    const code = await this.publish({ poison: true });
    if (code !== undefined) throw new Error(`The poison was rejected: ${code}`);
    return id;
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
    const { topics = TOPICS, unroutable = 'reject' } = this.settings;
    const topic = topics[n % topics.length] ?? 'work.do';
    try {
      const { routed } = await this.bus.publish(topic, { id, n, pad: this.pad, ...more }, { id, unroutable });
      if (routed === false) code = UNROUTED;
    } catch (error) {
      code = (error as EventBusError).code ?? String(error);
    }
    if (code === undefined) {
      this.confirmed++;
      this.ledger.note(`c ${id}`);
    } else {
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
