import type { Command, CommandClass, CommandDefinition } from '../bus/command-definition.js';
import type { EventPublishOptions } from '../bus/publish-options.js';

/** What one `send` may ask for; every field is optional. */
export type SendOptions = Omit<EventPublishOptions, 'exchange' | 'unroutable'>;

/** What one `request` may ask for; every field is optional. */
export interface RequestOptions
  extends Pick<EventPublishOptions, 'id' | 'type' | 'headers' | 'key' | 'correlationId' | 'causationId'> {
  /**
   * How long to wait for the answer, in milliseconds; the request is not started later than this. Default: `request.timeoutMs` of
   * the bus. Inside a handler never longer than whoever waits for that one.
   */
  readonly timeoutMs?: number;
  /** Stops waiting: rejects with the signal's reason, and aborts `context.signal` of the handler. */
  readonly signal?: AbortSignal;
}

/** What one `requestStream` may ask for; every field is optional. */
export interface RequestStreamOptions extends Omit<RequestOptions, 'timeoutMs'> {
  /**
   * How long to wait for the first value, and for each one after it, in milliseconds; not the time that your loop takes. Default:
   * `request.timeoutMs` of the bus. Inside a handler the first one no longer than whoever waits for that one.
   */
  readonly timeoutMs?: number;
  /** How many values may be on their way or wait for your loop: so far the handler can be ahead of it. 1 to 10 000, default 64. */
  readonly window?: number;
}

export interface RequestAllOptions extends Pick<RequestOptions, 'timeoutMs' | 'signal' | 'headers'> {
  /** How many wait for their answer at one time. Default 10. */
  readonly concurrency?: number;
}

/** One command for `requestAll`: an object of a class, or a topic, class or definition with a payload. */
export type OutgoingCommand =
  | Command<unknown>
  | {
      readonly command: string | CommandClass | CommandDefinition;
      readonly payload?: unknown;
      readonly options?: RequestOptions;
    };
