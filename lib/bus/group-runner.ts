import { type Delivery, RELEASE, type Settlement } from '../core/delivery.js';
import { Deque } from '../core/deque.js';
import { HandlerTimeoutError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import { DEFAULTS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';
import type { ConsumeEvents } from '../core/transport.js';
import type { SharedPlaces, Waiter } from './concurrency.js';
import type { Dispatcher } from './dispatcher.js';
import type { GroupCounters, GroupStats } from './event-bus.stats.js';
import { HandlerTimeouts, type Run } from './handler-timeouts.js';

export interface GroupRunnerOptions {
  readonly group: string;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly places: SharedPlaces;
  readonly dispatcher: Dispatcher;
  readonly counters: GroupCounters;
  readonly logger: BusLogger;
}

/** Runs the handlers of one group: so many at a time, each within its time, each delivery settled once. */
export class GroupRunner implements ConsumeEvents, Waiter {
  private readonly waiting = new Deque<Delivery>();
  private readonly timeouts: HandlerTimeouts;
  private readonly graceTimers = new Set<NodeJS.Timeout>();
  private running = 0;
  private isStopped = false;

  constructor(private readonly options: GroupRunnerOptions) {
    this.timeouts = new HandlerTimeouts(options.timeoutMs, (run) => this.onTimeout(run));
  }

  deliver(delivery: Delivery): void {
    if (this.isStopped) {
      this.settle(delivery, RELEASE);
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

  /** Starts nothing more and gives back what has not started; what runs goes on. */
  stop(): void {
    this.isStopped = true;
    for (const delivery of this.waiting.drain()) this.settle(delivery, RELEASE);
  }

  /** After `stop`, when the consumers have drained. */
  dispose(): void {
    this.timeouts.stop();
    for (const timer of this.graceTimers) clearTimeout(timer);
    this.graceTimers.clear();
  }

  stats(): GroupStats {
    return { ...this.options.counters.read(), running: this.running, waiting: this.waiting.size };
  }

  /** Deliveries whose channel has gone while they waited: they come again, and must not run twice. */
  private dropLost(): void {
    while (this.waiting.peek()?.aborted) {
      this.waiting.shift();
      this.options.counters.stale++;
    }
  }

  private start(delivery: Delivery): void {
    this.running++;
    const run: Run = {
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

  private async run(run: Run): Promise<void> {
    const outcome = await this.options.dispatcher.handle(run.delivery);
    // an ack of a run that took too long: its effect has happened, and another run would repeat it
    this.finish(run, run.isTimedOut && outcome.kind !== 'ack' ? undefined : outcome);
  }

  private finish(run: Run, outcome: Settlement | undefined): void {
    if (run.isFinished) return;
    run.isFinished = true;
    if (!run.isTimedOut) this.timeouts.forget(run);
    this.settle(run.delivery, outcome ?? this.options.dispatcher.timedOut(run.delivery));
    this.running--;
    this.options.places.give();
    this.pump();
  }

  /** Its signal aborts at once; its place is kept until it ends, but not longer than the grace. */
  private onTimeout(run: Run): void {
    run.isTimedOut = true;
    run.delivery.abort(new HandlerTimeoutError(this.options.group, this.options.timeoutMs));
    const timer = setTimeout(() => {
      this.graceTimers.delete(timer);
      this.finish(run, undefined);
    }, DEFAULTS.handlerGraceMs);
    this.graceTimers.add(timer);
  }

  private settle(delivery: Delivery, outcome: Settlement): void {
    if (outcome.kind !== 'ack') this.report(delivery, outcome);
    const settled = delivery.settle(outcome);
    if (settled === false) this.options.counters.stale++;
    else if (settled !== true) settled.then(this.onSettled, this.onSettleFailed);
  }

  private readonly onSettled = (isInTime: boolean): void => {
    if (!isInTime) this.options.counters.stale++;
  };

  /** A transport that breaks its word must not take the process with it. */
  private readonly onSettleFailed = (error: unknown): void => {
    this.options.logger.error(
      `${this.options.group}: a delivery could not be settled (${describeError(error)}); it comes again.`,
    );
  };

  private report(delivery: Delivery, outcome: Settlement): void {
    const { counters, logger, group } = this.options;
    const { id, topic } = delivery.message;
    switch (outcome.kind) {
      case 'retry':
        if (!outcome.failure) {
          counters.deferred++;
          break;
        }
        counters.retried++;
        logger.warn(
          `${group}: attempt ${delivery.attempt} of "${topic}" (${id}) failed, again in ${outcome.delayMs} ms: ${outcome.failure.name}: ${outcome.failure.message}`,
        );
        break;
      case 'dead':
        counters.deadLettered++;
        logger.error(
          `${group}: "${topic}" (${id}) is dead after ${delivery.attempt} attempt${delivery.attempt === 1 ? '' : 's'}, reason ${outcome.reason}${outcome.failure ? `: ${outcome.failure.name}: ${outcome.failure.message}` : ''}`,
        );
        break;
      case 'release':
        counters.released++;
        break;
      case 'ack':
        break;
    }
  }
}
