import { EventBusError, type EventBusErrorOptions } from './event-bus.error.js';

export * from './cache.errors.js';
export * from './chain.errors.js';
export * from './event-bus.error.js';
export * from './rendezvous.errors.js';
export * from './rpc.errors.js';
export * from './startup.errors.js';

/** The bus, its transport or a part of it is closed, or closing. If `sent`, the outcome of a publish is unknown; else nothing was sent. */
export class BusClosedError extends EventBusError {
  /** Whether the bytes had been handed to the broker. */
  readonly sent: boolean;

  /** @param closed what of the bus is closed, when not all of it */
  constructor(what: string, sent = false, closed = 'the event bus') {
    super(
      'BUS_CLOSED',
      sent
        ? 'The event bus was closed before the broker had confirmed the event: the outcome is unknown. Publish again with the same id; idempotent consumers handle it once.'
        : `Cannot ${what}: ${closed} is closed.`,
    );
    this.sent = sent;
  }
}

/** No group is bound for the topic. Nothing was stored anywhere; concerns this publish only. */
export class UnroutableError extends EventBusError {
  /** @param alternate name of the exchange that should have kept it, and leads to no queue either */
  constructor(exchange: string, topic: string, alternate?: string) {
    super(
      'UNROUTABLE',
      alternate === undefined
        ? `No group is bound to exchange "${exchange}" for topic "${topic}". Deploy the subscriber first, or publish with { unroutable: 'warn' }.`
        : `No group is bound to exchange "${exchange}" for topic "${topic}", and no queue to its alternate exchange "${alternate}", which should have kept it. Bind one there, or have it declared here with assert: 'assert'.`,
    );
  }
}

/** The bus or the broker refused the message; it is stored nowhere. `code` says who and why. */
export class PublishRejectedError extends EventBusError {
  constructor(message: string, options?: EventBusErrorOptions, code = 'PUBLISH_REJECTED') {
    super(code, message, { retryable: true, ...options });
  }
}

/** No confirmation in time. If `sent`, the outcome is unknown: publish again with the same id. */
export class PublishTimeoutError extends EventBusError {
  /** Whether the bytes had been handed to the broker. */
  readonly sent: boolean;

  constructor(topic: string, timeoutMs: number, sent: boolean) {
    super(
      'PUBLISH_TIMEOUT',
      sent
        ? `The broker has not confirmed "${topic}" within ${timeoutMs} ms: the outcome is unknown. Publish again with the same id; idempotent consumers handle it once.`
        : `"${topic}" could not be sent within ${timeoutMs} ms because the broker was not ready; it is stored nowhere.`,
      { retryable: true },
    );
    this.sent = sent;
  }
}

/** The broker has blocked publishers (memory or disk alarm) for as long as the publish could wait. */
export class BrokerBlockedError extends EventBusError {
  constructor(topic: string, timeoutMs: number) {
    super(
      'BROKER_BLOCKED',
      `"${topic}" could not be sent within ${timeoutMs} ms: the broker blocks publishers (memory or disk alarm).`,
      { retryable: true },
    );
  }
}

/** Body or headers are larger than allowed; refused before a byte was sent. */
export class MessageTooLargeError extends EventBusError {
  constructor(what: string, bytes: number, limit: number) {
    super(
      'MESSAGE_TOO_LARGE',
      `${what}: ${bytes} bytes, the limit is ${limit}. Store large data elsewhere and publish a reference.`,
    );
  }
}

/** A body that its serializer cannot read. Never retried. */
export class DecodeError extends EventBusError {
  constructor(message: string, options?: ErrorOptions) {
    super('UNDECODABLE', message, options);
  }
}

/** A payload that its schema refuses, or that cannot be serialized. Never retried. */
export class ValidationError extends EventBusError {
  /** Where and why, without values. */
  readonly issues: readonly string[];

  constructor(message: string, issues: readonly string[] = [], options?: ErrorOptions, code = 'VALIDATION') {
    super(code, message, options);
    this.issues = issues;
  }
}

/** Options, patterns or declarations that cannot work. Says all problems at once, and what to do. */
export class ConfigurationError extends EventBusError {
  readonly problems: readonly string[];

  constructor(problem: string | readonly string[], options?: ErrorOptions) {
    const problems = typeof problem === 'string' ? [problem] : problem;
    super(
      'CONFIGURATION',
      problems.length === 1
        ? String(problems[0])
        : `${problems.length} problems:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
      options,
    );
    this.problems = problems;
  }
}

/** One queue or exchange that is not at the broker as it was declared. */
export interface TopologyConflict {
  readonly kind: 'queue' | 'exchange';
  readonly entity: string;
  /** The argument that differs. Absent: the queue or exchange is missing. */
  readonly argument?: string;
  /** What the broker has; `none` when the argument is absent there. */
  readonly have?: string;
  /** What was declared here. */
  readonly want?: string;
}

/**
 * Queues or exchanges that are missing at the broker or have other arguments there. Nothing was changed. Rejects the start
 * with `startup.mode: 'wait'`, and every publish when it concerns an exchange; trying again does not help.
 */
export class TopologyConflictError extends EventBusError {
  readonly conflicts: readonly TopologyConflict[];

  constructor(conflicts: readonly TopologyConflict[], options?: ErrorOptions) {
    super('TOPOLOGY_CONFLICT', conflicts.map(describeConflict).join('\n'), options);
    this.conflicts = conflicts;
  }

  /** The first of them, which is mostly the only one. */
  get entity(): string | undefined {
    return this.conflicts[0]?.entity;
  }
}

function shown(value: string | undefined): string {
  return value === '' ? "'' (empty)" : String(value);
}

function describeConflict({ kind, entity, argument, have, want }: TopologyConflict): string {
  const name = `${kind === 'queue' ? 'Queue' : 'Exchange'} "${entity}"`;
  if (argument === undefined)
    return `${name} does not exist. Create it, or have it declared here with assert: 'assert'.`;
  return `${name} has ${argument} = ${shown(have)} at the broker, and ${shown(want)} is wanted here. Use another name, migrate it, or take it as it is with assert: 'check'.`;
}

/**
 * The broker cannot be reached. Or it refuses the credentials or virtual host (`CONNECTION_REFUSED`), its certificate is not
 * trusted (`TLS_REFUSED`), the user may not do that (`ACCESS_REFUSED`): then `retryable` is false.
 */
export class ConnectionError extends EventBusError {
  constructor(message: string, options?: EventBusErrorOptions, code = 'CONNECTION') {
    super(code, message, { retryable: true, ...options });
  }
}

/** Somebody else reads the dead letters of this group, and has not finished in time. */
export class DeadLettersBusyError extends EventBusError {
  constructor(group: string, waitedMs: number) {
    super(
      'DEAD_LETTERS_BUSY',
      `The dead letters of "${group}" have been read by somebody else for ${waitedMs} ms. Try again when that has ended.`,
      { retryable: true },
    );
  }
}

/** A handler ran longer than its `timeoutMs`; its signal was aborted and the delivery is retried. */
export class HandlerTimeoutError extends EventBusError {
  constructor(handler: string, timeoutMs: number) {
    super('HANDLER_TIMEOUT', `${handler} ran longer than ${timeoutMs} ms.`, { retryable: true });
  }
}

/**
 * Thrown by a handler: trying again cannot help, to the dead letters at once.
 *
 * @example throw new DeadLetterError('unknown currency');
 * @publicApi
 */
export class DeadLetterError extends EventBusError {
  constructor(message: string, options?: ErrorOptions) {
    super('DEAD_LETTER', message, options);
  }
}

/**
 * Thrown by a handler: handle this delivery again after `delayMs`. Not counted as an attempt; at most 100 times.
 *
 * @param delayMs from 0 to 30 days
 * @example throw new RetryLaterError(60_000);
 * @publicApi
 */
export class RetryLaterError extends EventBusError {
  readonly delayMs: number;

  constructor(delayMs: number, message = `Asked to be tried again in ${delayMs} ms.`, options?: ErrorOptions) {
    super('RETRY_LATER', message, { ...options, retryable: true });
    if (!(delayMs >= 0 && delayMs <= 30 * 86_400_000)) {
      throw new ConfigurationError('RetryLaterError: delayMs must be a number from 0 to 2592000000 (30 days).');
    }
    this.delayMs = delayMs;
  }
}

/** One item of a batch that failed. */
export interface BatchFailure {
  /** Its place in the array that the handler got, from 0. */
  readonly index: number;
  /** Decides what becomes of it, as if its handler had thrown it: DeadLetterError and RetryLaterError as well. */
  readonly error: unknown;
}

/**
 * Thrown by a batch handler: these items failed, each with its own error, and all others succeeded. Without any failure all
 * have succeeded. An index that the batch does not have, or one that comes twice, fails the whole batch.
 *
 * @param failures `{ index, error }` for each, or a Map of errors by index
 * @example
 * const results = await Promise.allSettled(orders.map((order) => this.save(order)));
 * throw new BatchError(results.flatMap((r, index) => (r.status === 'rejected' ? [{ index, error: r.reason }] : [])));
 * @publicApi
 */
export class BatchError extends EventBusError {
  readonly failures: readonly BatchFailure[];

  constructor(failures: Iterable<BatchFailure | readonly [index: number, error: unknown]>, options?: ErrorOptions) {
    const all = Array.from(failures, (failure) => toBatchFailure(failure));
    super('BATCH', all.length === 1 ? '1 item of the batch failed.' : `${all.length} items of the batch failed.`, {
      ...options,
      retryable: true,
    });
    this.failures = all;
  }
}

function toBatchFailure(failure: BatchFailure | readonly [index: number, error: unknown]): BatchFailure {
  const [index, error] = Array.isArray(failure)
    ? failure
    : [(failure as BatchFailure).index, (failure as BatchFailure).error];
  return { index: index as number, error };
}
