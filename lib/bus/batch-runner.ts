import { type Delivery, RELEASE, type Settlement } from '../core/delivery.js';
import { Deque } from '../core/deque.js';
import { HandlerTimeoutError } from '../core/errors.js';
import { Batch } from './batch.js';
import type { GroupStats } from './event-bus.stats.js';
import type { BatchOptions } from './group-definition.js';
import type { GroupRunnerOptions } from './group-runner.js';
import type { Handler } from './handler.js';
import type { HandlerScope } from './handler-scope.js';
import { countedOutcome, HandlerTimeouts, type Run } from './handler-timeouts.js';
import type { Runner } from './runner.js';
import { Settler } from './settler.js';

export interface BatchRunnerOptions extends GroupRunnerOptions, BatchOptions {
  readonly handler: Handler;
  readonly scope: HandlerScope;
}

interface Arrival {
  readonly delivery: Delivery;
  readonly at: number;
}

interface BatchRun extends Run {
  readonly batch: Batch;
  /** What is not settled yet. */
  readonly open: Set<Delivery>;
}

/**
 * Runs the handler of one group, each with a batch. A batch begins when `size` deliveries wait, or when the first of them has
 * waited for `waitMs`, as soon as there is a place; it takes one, however many deliveries are in it.
 */
export class BatchRunner implements Runner {
  private readonly waiting = new Deque<Arrival>();
  private readonly timeouts: HandlerTimeouts<BatchRun>;
  private readonly settler: Settler;
  private timer: NodeJS.Timeout | undefined;
  private running = 0;
  private isStopped = false;

  constructor(private readonly options: BatchRunnerOptions) {
    const { group, timeoutMs, counters, logger, watch } = options;
    this.settler = new Settler(group, counters, logger, watch);
    this.timeouts = new HandlerTimeouts(
      timeoutMs,
      (run) => this.onTimeout(run),
      (run) => this.giveUp(run),
    );
  }

  deliver(delivery: Delivery): void {
    if (this.isStopped) {
      this.settler.settle(delivery, RELEASE);
      return;
    }
    this.waiting.push({ delivery, at: performance.now() });
    this.pump();
  }

  interrupted(): void {
    this.options.counters.interrupted++;
  }

  pump(): void {
    const { places, concurrency } = this.options;
    while (this.readyInMs() <= 0 && this.running < concurrency && places.tryTake(this)) this.start(this.take());
    this.arm();
  }

  stop(): void {
    this.isStopped = true;
    for (const { delivery } of this.waiting.drain()) this.settler.settle(delivery, RELEASE);
    this.arm();
  }

  dispose(): void {
    this.timeouts.stop();
  }

  stats(): GroupStats {
    return { ...this.options.counters.read(), running: this.running, waiting: this.waiting.size };
  }

  /** How long the next batch still waits for others to come; for ever when there is none. */
  private readyInMs(): number {
    // lost while they waited: they come again, and must not run twice
    for (let first = this.waiting.peek(); first?.delivery.aborted; first = this.waiting.peek()) {
      this.waiting.shift();
      this.settler.drop();
    }
    const first = this.waiting.peek();
    if (!first) return Number.POSITIVE_INFINITY;
    const { size, waitMs } = this.options;
    return this.waiting.size >= size ? 0 : first.at + waitMs - performance.now();
  }

  private take(): readonly Delivery[] {
    const taken: Delivery[] = [];
    while (taken.length < this.options.size) {
      const arrival = this.waiting.shift();
      if (!arrival) break;
      if (arrival.delivery.aborted) this.settler.drop();
      else taken.push(arrival.delivery);
    }
    return taken;
  }

  /** One timer, for the first that waits. None for a batch that waits for a place only: who gives one back says so. */
  private arm(): void {
    const ms = this.readyInMs();
    if (ms > 0 && Number.isFinite(ms)) {
      this.timer ??= setTimeout(this.onWaited, Math.ceil(ms));
      return;
    }
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private readonly onWaited = (): void => {
    this.timer = undefined;
    this.pump();
  };

  private start(deliveries: readonly Delivery[]): void {
    this.running++;
    const run: BatchRun = {
      batch: new Batch(deliveries.length, this.options.handler, this.options.scope),
      open: new Set(deliveries),
      startedAt: Date.now(),
      isTimedOut: false,
      isFinished: false,
      previous: undefined,
      next: undefined,
    };
    this.timeouts.watch(run);
    for (const [index, delivery] of deliveries.entries()) void this.handle(run, delivery, index);
  }

  private async handle(run: BatchRun, delivery: Delivery, index: number): Promise<void> {
    const { batch } = run;
    const outcome = await this.options.dispatcher.handle(delivery, (payload, context) =>
      batch.join(index, payload, context),
    );
    batch.leave(index);
    this.settle(run, delivery, countedOutcome(run, outcome));
    if (run.open.size === 0) this.finish(run);
  }

  private settle(run: BatchRun, delivery: Delivery, outcome: Settlement | undefined): void {
    if (run.open.delete(delivery)) this.settler.settle(delivery, outcome ?? this.options.dispatcher.timedOut(delivery));
  }

  private finish(run: BatchRun): void {
    if (run.isFinished) return;
    run.isFinished = true;
    this.timeouts.forget(run);
    this.running--;
    this.options.places.give();
    this.pump();
  }

  private onTimeout({ batch, open }: BatchRun): void {
    const { group, timeoutMs } = this.options;
    const error = new HandlerTimeoutError(group, timeoutMs);
    for (const delivery of open) delivery.abort(error);
    // one whose validation takes too long must not have the handler called for what comes again anyway
    batch.cancel(error);
  }

  private giveUp(run: BatchRun): void {
    for (const delivery of run.open) this.settle(run, delivery, undefined);
    this.finish(run);
  }
}
