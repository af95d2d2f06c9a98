import type { Delivery, Settlement } from '../core/delivery.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import { onOneLine } from '../core/text.js';
import type { DeliveryWatch } from './delivery-watch.js';
import type { GroupCounters } from './event-bus.stats.js';

/** Carries out what was decided over the deliveries of one group; counts it, and says what people should know. */
export class Settler {
  constructor(
    private readonly group: string,
    private readonly counters: GroupCounters,
    private readonly logger: BusLogger,
    private readonly watch?: DeliveryWatch,
  ) {}

  settle(delivery: Delivery, outcome: Settlement): void {
    if (outcome.kind !== 'ack') this.report(delivery, outcome);
    const settled = delivery.settle(outcome);
    if (settled === false) this.counters.stale++;
    else if (settled !== true) settled.then(this.onSettled, this.onFailed);
    this.watch?.settled(this.group, delivery, outcome);
  }

  /** For one whose channel has gone before it was handled: it comes again, and there is nobody to tell. */
  drop(): void {
    this.counters.stale++;
  }

  private readonly onSettled = (isInTime: boolean): void => {
    if (!isInTime) this.counters.stale++;
  };

  /** A transport that breaks its word must not take the process with it. */
  private readonly onFailed = (error: unknown): void => {
    this.logger.error(`${this.group}: a delivery could not be settled (${describeError(error)}); it comes again.`);
  };

  private report(delivery: Delivery, outcome: Settlement): void {
    const { counters, logger, group } = this;
    const { id, topic } = delivery.message;
    switch (outcome.kind) {
      case 'retry':
        if (!outcome.failure) {
          counters.deferred++;
          break;
        }
        counters.retried++;
        if (outcome.misses !== undefined) {
          logger.warn(
            onOneLine(
              `${group}: "${topic}" (${id}) is understood by no handler here (try ${outcome.misses}), again in ${outcome.delayMs} ms.`,
            ),
          );
          break;
        }
        logger.warn(
          onOneLine(
            `${group}: attempt ${delivery.attempt} of "${topic}" (${id}) failed, again in ${outcome.delayMs} ms: ${outcome.failure.name}: ${outcome.failure.message}`,
          ),
        );
        break;
      case 'dead': {
        counters.deadLettered++;
        const { attempts = delivery.attempt } = outcome;
        logger.error(
          onOneLine(
            `${group}: "${topic}" (${id}) is dead after ${attempts} attempt${attempts === 1 ? '' : 's'}, reason ${outcome.reason}${outcome.failure ? `: ${outcome.failure.name}: ${outcome.failure.message}` : ''}`,
          ),
        );
        break;
      }
      case 'release':
        counters.released++;
        break;
      case 'ack':
        break;
    }
  }
}
