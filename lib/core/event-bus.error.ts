export interface EventBusErrorOptions extends ErrorOptions {
  /** Whether doing the same again may succeed. */
  readonly retryable?: boolean;
}

/**
 * The root of all errors of this library. `code` is stable; `retryable` says whether doing the same again may help.
 * Texts name topics, groups, handlers and options, never payloads, credentials or URLs.
 *
 * @publicApi
 */
export class EventBusError extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: EventBusErrorOptions = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
