import { EventBusError } from './event-bus.error.js';
import { describeError } from './failure.js';

/**
 * What the start waits for has failed, so nothing is consumed. Rejects the start with `startup.mode: 'wait'`; is logged, and
 * tried again, with `background`. The `cause` is what the policy has thrown.
 *
 * @publicApi
 */
export class StartupPolicyError extends EventBusError {
  /** Name of the policy; within a chain, that of the one that failed. */
  readonly policy: string;

  constructor(policy: string, cause: unknown) {
    super('STARTUP_POLICY', `The startup policy "${policy}" failed: ${describeError(cause)}`, {
      cause,
      retryable: !(cause instanceof EventBusError) || cause.retryable,
    });
    this.policy = policy;
  }
}
