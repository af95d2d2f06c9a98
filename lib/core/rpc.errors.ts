import { EventBusError } from './event-bus.error.js';

/** A command whose queue does not exist: no process that handles it has ever run. Nothing was stored anywhere. */
export class NoHandlerError extends EventBusError {
  constructor(topic: string) {
    super(
      'NO_HANDLER',
      `Nobody handles the command "${topic}": its queue does not exist. Deploy its handler first, and look for a typing error in the name.`,
    );
  }
}

/** No answer to a request in time. Its handler may have run; it is not started later than this. */
export class RequestTimeoutError extends EventBusError {
  /** @param timeoutMs as far as it is known: the handler knows only when its time is over */
  constructor(topic: string, timeoutMs?: number) {
    const limit = timeoutMs === undefined ? 'in time' : `within ${timeoutMs} ms`;
    super('REQUEST_TIMEOUT', `"${topic}" was not answered ${limit}.`, { retryable: true });
  }
}

/** Why the `signal` of a request's handler is aborted: nobody waits for its answer any more. */
export class RequestCancelledError extends EventBusError {
  constructor(topic: string) {
    super('REQUEST_CANCELLED', `Nobody waits for the answer to "${topic}" any more.`);
  }
}

/** Parts of an answer are missing: those before it are good, and what follows them is unknown. */
export class StreamBrokenError extends EventBusError {
  constructor(topic: string, why: string) {
    super('STREAM_BROKEN', `The answer to "${topic}" is incomplete: ${why}`, { retryable: true });
  }
}

/** What is told of the error of a handler to whoever has asked. */
export interface RemoteFailure {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
  readonly details?: unknown;
  readonly retryable?: boolean | undefined;
  readonly stack?: string | undefined;
}

/**
 * The handler of a request has failed. It has the name, the message and the code of the handler's own error, so that callers can
 * branch on them.
 *
 * @example
 * catch (error) {
 *   if (error instanceof RemoteError && error.code === 'OUT_OF_STOCK') …
 * }
 * @publicApi
 */
export class RemoteError extends EventBusError {
  /** The command. */
  readonly topic: string;
  /** What the handler's error has under `details`; of a payload that was refused, why. */
  readonly details?: unknown;
  /** Where it was thrown, if the other side has `request.errorStacks` set. */
  readonly remoteStack?: string;

  /** @param failure as the other side has told it; its `code` is `REMOTE` when the error has none */
  constructor(topic: string, failure: RemoteFailure) {
    super(failure.code ?? 'REMOTE', failure.message, { retryable: failure.retryable ?? false });
    this.name = failure.name;
    this.topic = topic;
    if (failure.details !== undefined) this.details = failure.details;
    if (failure.stack !== undefined) this.remoteStack = failure.stack;
  }
}
