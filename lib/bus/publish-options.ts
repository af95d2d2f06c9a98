import type { UnroutablePolicy } from './unroutable-policy.js';

/** What one publish may ask for; every field is optional. */
export interface EventPublishOptions {
  /** Name of the exchange, one of the option `exchanges`. Default: the main one. */
  readonly exchange?: string;
  /** Default: a random UUID. Publish again with the same id when the outcome of a publish is unknown. */
  readonly id?: string;
  /** Name of the event on the wire. Default: that of the class or definition, else none. */
  readonly type?: string;
  /**
   * Strings, finite numbers and booleans: at most 128, and 16 KiB together. Names with the prefixes `eb-` and `x-`, and `CC`
   * and `BCC`, are reserved. What is `undefined` is left out.
   */
  readonly headers?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Ordering key. */
  readonly key?: string;
  /** Default inside a handler: that of the message that is handled, or else its id. Outside: none. */
  readonly correlationId?: string;
  /** Id of the message that made this one be published. Default inside a handler: that of the message that is handled. */
  readonly causationId?: string;
  /** Not handled later than this, in milliseconds from now. */
  readonly expiresInMs?: number;
  /** Not handled sooner than this, in milliseconds from now. At most 30 days. */
  readonly delayMs?: number;
  /** Bound for this publish, in milliseconds. Default: `publish.timeoutMs` of the bus. */
  readonly timeoutMs?: number;
  /**
   * What becomes of it when no group gets it. Default: `publish.unroutable` of the bus. With `background`, `reject` is as
   * `warn`: nobody is there to catch it.
   */
  readonly unroutable?: UnroutablePolicy;
  /** Stops waiting: rejects with the signal's reason. What was sent by then may still arrive. */
  readonly signal?: AbortSignal;
  /** Resolves at once with state `queued`; a failure is logged and counted. */
  readonly background?: boolean;
}

/** What became of a publish. */
export interface PublishReceipt {
  readonly id: string;
  readonly topic: string;
  /** `confirmed`: the broker is responsible for it. `stored`: an outbox is. `queued`: nobody is yet. */
  readonly state: 'confirmed' | 'stored' | 'queued';
  /** Whether any group got it; known only when confirmed. */
  readonly routed?: boolean;
}

/** One event for `publishAll`: a topic with a payload, or an object of an `@Event` class. */
export type OutgoingEvent =
  | { readonly topic: string; readonly payload: unknown; readonly options?: EventPublishOptions }
  | object;

export interface PublishAllResult {
  readonly confirmed: number;
  readonly failed: readonly { readonly index: number; readonly error: unknown }[];
}
