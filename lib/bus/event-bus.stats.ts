/** Counters of one group in this process. */
export interface GroupStats {
  readonly handled: number;
  readonly retried: number;
  readonly deferred: number;
  readonly deadLettered: number;
  readonly released: number;
  readonly expired: number;
  readonly duplicates: number;
  readonly timedOut: number;
  /** Outcomes that came too late to be sent (the channel was gone): the message comes again. */
  readonly stale: number;
  /** How often its consumer was taken away: queue deleted, channel or connection lost. It came back by itself. */
  readonly interrupted: number;
  /** Calls of its handlers that run; a batch is one. */
  readonly running: number;
  /** Deliveries that wait for a place, or for their batch. */
  readonly waiting: number;
}

/** Counters of one bus in this process, since it started. */
export interface EventBusStats {
  readonly published: number;
  readonly confirmed: number;
  /** Those that rejected, `unroutable: 'reject'` included. */
  readonly failed: number;
  /** Events that no group got, whatever became of them. */
  readonly unroutable: number;
  /** Of those, what `popUnroutables()` will not give: there was no room. */
  readonly unroutableDropped: number;
  /** Requests that wait for their answer. Absent of a bus that only has events. */
  readonly pendingRequests?: number;
  readonly groups: Readonly<Record<string, GroupStats>>;
}

/** The counters that only grow, as one group keeps them. */
export class GroupCounters {
  handled = 0;
  retried = 0;
  deferred = 0;
  deadLettered = 0;
  released = 0;
  expired = 0;
  duplicates = 0;
  timedOut = 0;
  stale = 0;
  interrupted = 0;

  read(): Omit<GroupStats, 'running' | 'waiting'> {
    return Object.assign({}, this);
  }
}

export class PublishCounters {
  published = 0;
  confirmed = 0;
  failed = 0;
  unroutable = 0;
  unroutableDropped = 0;

  read(): Omit<EventBusStats, 'groups'> {
    return Object.assign({}, this);
  }
}
