import type { ConsumeEvents } from '../core/transport.js';
import type { Waiter } from './concurrency.js';
import type { GroupStats } from './event-bus.stats.js';

/** Runs what comes for one group: so much at a time, each run within its time, each delivery settled once. */
export interface Runner extends ConsumeEvents, Waiter {
  /** Its consumer was taken away; counted. */
  interrupted(): void;
  /** Starts nothing more and gives back what has not started; what runs goes on. */
  stop(): void;
  /** After `stop`, when the consumers have drained. */
  dispose(): void;
  stats(): GroupStats;
}
