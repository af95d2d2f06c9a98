import { EventBusError } from './event-bus.error.js';

/** A pattern that too few instances fit. */
export interface MissingMembers {
  readonly pattern: string;
  readonly wanted: number;
  readonly found: number;
}

/** Not all who were waited for are ready in time. The message says who is missing, and who is there. */
export class RendezvousTimeoutError extends EventBusError {
  readonly missing: readonly MissingMembers[];

  constructor(message: string, missing: readonly MissingMembers[], options?: ErrorOptions) {
    super('RENDEZVOUS_TIMEOUT', message, { retryable: true, ...options });
    this.missing = missing;
  }
}
