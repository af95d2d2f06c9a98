import type { BindingRule } from '../core/exchange.js';
import type { Message } from '../core/message.js';
import type { StandardSchema } from '../core/schema.js';
import type { HandlerContext } from './event-context.js';

/** Reasons with which an error of the surroundings (guards, pipes) ends a delivery after one attempt. */
export type FinalReason = 'forbidden' | 'validation';

/** One subscriber, found by the explorer or given to `subscribe`. */
export interface Handler {
  /** Where it is, for people: `OrdersListener.onCreated (OrdersModule)`. */
  readonly place: string;
  readonly rules: readonly BindingRule[];
  /** The one event that it understands; absent means any. */
  readonly event?: { readonly type: string; readonly version: number } | undefined;
  readonly schema?: StandardSchema | undefined;
  /** Runs it; rejects or throws when it failed. */
  invoke(payload: unknown, context: HandlerContext): unknown;
  /** For an error that trying again cannot mend, its reason. */
  classify?(error: unknown): FinalReason | undefined;
  /** What of an error is worth keeping beside its message, without values of the payload. */
  explain?(error: unknown, payload: () => unknown): string | undefined;
  /**
   * Takes the failure of a delivery upon itself, so that it is neither retried nor dead-lettered: a request is answered with
   * it. Must not throw. @returns whether it did
   */
  refuse?(message: Message, error: unknown): boolean;
}
