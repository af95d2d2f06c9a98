import type { Delays } from '../../core/delays.js';
import type { BacklogOptions } from '../../core/publish-backlog.js';

/** Options of the transport in memory. A type, not an interface, so that it is also a `TransportOptions`. */
export type MemoryTransportOptions = {
  readonly type: 'memory';
  /** Messages kept for groups that start from the `earliest`. Default 0. */
  readonly retain?: number;
};

/** What every transport is given by the bus. */
export interface MemorySettings extends BacklogOptions {
  readonly window: number;
  readonly retain: number;
  /** What retries wait by. Default: timers. */
  readonly delays: Delays;
}
