import { Injectable, type Type } from '@nestjs/common';
import { BusClosedError, type EventBusService, OnEvent } from '../../../lib/index.js';
import { quiet } from '../../../lib/testing/contract/until.js';

/** What the bus takes where nobody says otherwise. */
const TIMEOUT_MS = 10_000;
/** Within its timeout and so much more every publish has to settle. */
export const SLACK_MS = 1_000;

interface TrafficOptions {
  /** Each publishes one event after the other. */
  readonly publishers?: number;
  readonly pauseMs?: number;
  readonly timeoutMs?: number;
  /** How long a handler runs. */
  readonly handlerMs?: number;
}

/** Events with numbers, published without end, and the book about each: confirmed, failed, handled. */
export class Traffic {
  readonly confirmed = new Set<number>();
  readonly failed = new Map<number, unknown>();
  /** How often each was handled. */
  readonly handled = new Map<number, number>();
  /** When anything was confirmed or handled last (`performance.now`). */
  lastConfirmed = 0;
  lastHandled = 0;
  /** Publishes that settled, one way or the other, later than their timeout and {@link SLACK_MS}. */
  late = 0;
  /** How long the slowest took to settle. */
  slowestMs = 0;
  unrouted = 0;
  pending = 0;
  private next = 0;
  private isStopped = false;
  private isHurrying = false;
  private running: readonly Promise<void>[] = [];

  constructor(private readonly options: TrafficOptions = {}) {}

  /** A provider that handles them. */
  listener(): Type {
    const { handlerMs = 0 } = this.options;
    const work = async (): Promise<void> => {
      if (handlerMs > 0 && !this.isHurrying) await quiet(handlerMs);
    };
    const onHandled = (n: number): void => {
      this.handled.set(n, (this.handled.get(n) ?? 0) + 1);
      this.lastHandled = performance.now();
    };
    @Injectable()
    class TrafficListener {
      @OnEvent('traffic.*')
      async on({ n }: { readonly n: number }): Promise<void> {
        await work();
        onHandled(n);
      }
    }
    return TrafficListener;
  }

  start(bus: EventBusService): this {
    const { publishers = 10 } = this.options;
    this.running = Array.from({ length: publishers }, () => this.publishOn(bus));
    return this;
  }

  /** Resolves when every publish has its answer; publishers end with their bus, too. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.running);
  }

  /** Handlers take no time any more: what is queued is handled soon. */
  hurry(): this {
    this.isHurrying = true;
    return this;
  }

  /** Confirmed, routed and never handled. */
  get lost(): readonly number[] {
    return [...this.confirmed].filter((n) => !this.handled.has(n));
  }

  get duplicates(): number {
    return [...this.handled.values()].reduce((sum, times) => sum + times - 1, 0);
  }

  private async publishOn(bus: EventBusService): Promise<void> {
    const { pauseMs = 5, timeoutMs } = this.options;
    while (!this.isStopped) {
      const n = this.next++;
      const begun = performance.now();
      this.pending++;
      try {
        const { routed } = await bus.publish('traffic.go', { n }, timeoutMs === undefined ? {} : { timeoutMs });
        this.confirmed.add(n);
        if (routed !== true) this.unrouted++;
        this.lastConfirmed = performance.now();
      } catch (error) {
        this.failed.set(n, error);
        if (error instanceof BusClosedError) return;
      } finally {
        this.pending--;
        this.onSettled(performance.now() - begun);
      }
      await quiet(pauseMs);
    }
  }

  private onSettled(ms: number): void {
    const { timeoutMs = TIMEOUT_MS } = this.options;
    this.slowestMs = Math.max(this.slowestMs, ms);
    if (ms > timeoutMs + SLACK_MS) this.late++;
  }
}
