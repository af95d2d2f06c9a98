import { type Delivery, RELEASE, type Settlement } from '../core/delivery.js';
import { Deque } from '../core/deque.js';
import { HandlerTimeoutError } from '../core/errors.js';
import type { BusLogger } from '../core/logger.js';
import type { SharedPlaces } from './concurrency.js';
import type { DeliveryWatch } from './delivery-watch.js';
import type { Dispatcher } from './dispatcher.js';
import type { GroupCounters, GroupStats } from './event-bus.stats.js';
import { countedOutcome, HandlerTimeouts, type Run } from './handler-timeouts.js';
import type { Runner } from './runner.js';
import { Settler } from './settler.js';

export interface GroupRunnerOptions {
  readonly group: string;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly places: SharedPlaces;
  readonly dispatcher: Dispatcher;
  readonly counters: GroupCounters;
  readonly logger: BusLogger;
  readonly watch?: DeliveryWatch | undefined;
}

interface DeliveryRun extends Run {
  readonly delivery: Delivery;
}

/** Runs the handlers of one group, each with one delivery. */
export class GroupRunner implements Runner {
  private readonly waiting = new Deque<Delivery>();
  private readonly timeouts: HandlerTimeouts<DeliveryRun>;
  private readonly settler: Settler;
  private running = 0;
  private isStopped = false;

  constructor(private readonly options: GroupRunnerOptions) {
    const { group, timeoutMs, counters, logger, watch } = options;
    this.settler = new Settler(group, counters, logger, watch);
    this.timeouts = new HandlerTimeouts(
      timeoutMs,
      ({ delivery }) => delivery.abort(new HandlerTimeoutError(group, timeoutMs)),
      (run) => this.finish(run, undefined),
    );
  }

  deliver(delivery: Delivery): void {
    if (this.isStopped) {
      this.settler.settle(delivery, RELEASE);
      return;
    }
    this.dropLost();
    this.waiting.push(delivery);
    this.pump();
  }

  interrupted(): void {
    this.options.counters.interrupted++;
  }

  pump(): void {
    const { places, concurrency } = this.options;
    this.dropLost();
    while (this.running < concurrency && this.waiting.size > 0 && places.tryTake(this)) {
      const delivery = this.waiting.shift();
      if (delivery) this.start(delivery);
      else places.give();
    }
  }

  stop(): void {
    this.isStopped = true;
    for (const delivery of this.waiting.drain()) this.settler.settle(delivery, RELEASE);
  }

  dispose(): void {
    this.timeouts.stop();
  }

  stats(): GroupStats {
    return { ...this.options.counters.read(), running: this.running, waiting: this.waiting.size };
  }

  /** Deliveries whose channel has gone while they waited: they come again, and must not run twice. */
  private dropLost(): void {
    while (this.waiting.peek()?.aborted) {
      this.waiting.shift();
      this.settler.drop();
    }
  }

  private start(delivery: Delivery): void {
    this.running++;
    const run: DeliveryRun = {
      delivery,
      startedAt: Date.now(),
      isTimedOut: false,
      isFinished: false,
      previous: undefined,
      next: undefined,
    };
    this.timeouts.watch(run);
    void this.run(run);
  }

  private async run(run: DeliveryRun): Promise<void> {
    const outcome = await this.options.dispatcher.handle(run.delivery);
    this.finish(run, countedOutcome(run, outcome));
  }

  private finish(run: DeliveryRun, outcome: Settlement | undefined): void {
    if (run.isFinished) return;
    run.isFinished = true;
    this.timeouts.forget(run);
    this.settler.settle(run.delivery, outcome ?? this.options.dispatcher.timedOut(run.delivery));
    this.running--;
    this.options.places.give();
    this.pump();
  }
}
