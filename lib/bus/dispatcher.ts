import { ACK, type Delivery, type Failure, RELEASE, type Settlement } from '../core/delivery.js';
import {
  ChainTooDeepError,
  DeadLetterError,
  DecodeError,
  HandlerTimeoutError,
  RetryLaterError,
  ValidationError,
} from '../core/errors.js';
import { toFailure } from '../core/failure.js';
import { DEFAULTS, DEFERRAL_LEVELS_MS, LIMITS } from '../core/limits.js';
import { compose, type Middleware } from '../core/pipeline.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import { validate } from '../core/schema.js';
import { truncateBytes } from '../core/text.js';
import type { GroupCounters } from './event-bus.stats.js';
import { DeliveryContext, type EmitEvent, type EventContext } from './event-context.js';
import type { EventRegistry } from './event-registry.js';
import type { GroupInbox, InboxClaim } from './group-inbox.js';
import type { Handler } from './handler.js';
import type { HandlerMatcher } from './handler-matcher.js';
import type { HandlerScope } from './handler-scope.js';
import { isHandlerValues, lastOf } from './handler-values.js';
import type { MessageDecoder } from './message-decoder.js';
import { PrivateDelivery } from './private-delivery.js';

/** A put-off message that is due within this time is due. */
const DUE_TOLERANCE_MS = 20;
/** How far the clocks of two machines may be apart. */
const CLOCK_MS = 3_600_000;
const EXPIRED: Settlement = Object.freeze({ kind: 'ack', unhandled: 'expired' });
const DUPLICATE: Settlement = Object.freeze({ kind: 'ack', unhandled: 'duplicate' });
const UNMATCHED: Settlement = Object.freeze({ kind: 'ack', unhandled: 'unmatched' });

export interface DispatcherOptions {
  readonly group: string;
  readonly decoder: MessageDecoder;
  readonly matcher: HandlerMatcher;
  readonly retry: RetryPolicy;
  /** For messages that no handler here understands. Absent for private queues: every instance has its own copy. */
  readonly unmatched: RetryPolicy | undefined;
  readonly timeoutMs: number;
  /** Whether the transport can wait for any time, or only for declared ones. */
  readonly delay: 'exact' | 'levels';
  readonly counters: GroupCounters;
  readonly scope: HandlerScope;
  readonly emit: EmitEvent;
  readonly registry: EventRegistry;
  readonly middleware?: readonly Middleware<EventContext>[] | undefined;
  /** Answers requests with their failure; absent of groups that get none. */
  readonly refuse?: Handler['refuse'] | undefined;
  /** Only of a group that is idempotent. */
  readonly inbox?: GroupInbox | undefined;
}

/** The one place that decides what becomes of a delivery. */
export class Dispatcher {
  private readonly around: ((context: EventContext, last: () => Promise<void>) => Promise<void>) | undefined;

  constructor(private readonly options: DispatcherOptions) {
    if (options.middleware && options.middleware.length > 0) this.around = compose(options.middleware);
  }

  /**
   * Handles a delivery and says how to settle it. Never rejects.
   *
   * @param join takes the place of the handler: for a batch, whose handler is called once for many deliveries
   */
  handle(delivery: Delivery, join?: Handler['invoke']): Promise<Settlement> {
    const context = new DeliveryContext(delivery, this.options);
    // all of it: a transport may deliver within a publish, and so within the scope of another handler
    return this.options.scope.run(context, this.run, delivery, context, join);
  }

  private readonly run = async (
    delivery: Delivery,
    context: DeliveryContext,
    join: Handler['invoke'] | undefined,
  ): Promise<Settlement> => {
    const { message } = delivery;
    const { counters, inbox } = this.options;
    let handler: Handler | undefined;
    try {
      if (delivery.defect !== undefined) throw new DecodeError(delivery.defect);
      if (message.expiresAt !== undefined && message.expiresAt <= Date.now()) {
        counters.expired++;
        return EXPIRED;
      }
      if (message.dueAt !== undefined && message.dueAt - Date.now() > DUE_TOLERANCE_MS) {
        assertBearable(message.dueAt);
        return this.hop(delivery, message.dueAt, delivery.deferrals);
      }
      handler = this.options.matcher.find(message);
      if (!handler) return this.unmatched(delivery);
      let payload = this.options.decoder.decode(message);
      if (handler.schema) payload = await validate(handler.schema, payload, `The payload for ${handler.place}`);
      if (this.around || inbox) return await this.guarded(handler, payload, delivery, context, join);
      const result = await (join ? join(payload, context) : handler.invoke(payload, context));
      if (isHandlerValues(result)) await lastOf(result, delivery.signal);
      this.assertInTime(delivery);
      context.close();
      if (context.hasEmitted) await context.flush();
      counters.handled++;
      return outcomeOf(context);
    } catch (error) {
      context.discard();
      return this.failed(delivery, error, handler);
    }
  };

  /** How to settle a delivery whose handler ran too long. */
  timedOut(delivery: Delivery): Settlement {
    this.options.counters.timedOut++;
    return this.failed(delivery, new HandlerTimeoutError(this.options.group, this.options.timeoutMs));
  }

  /** With all that a bus may have around a handler. */
  private async guarded(
    handler: Handler,
    payload: unknown,
    delivery: Delivery,
    context: DeliveryContext,
    join: Handler['invoke'] | undefined,
  ): Promise<Settlement> {
    const { counters } = this.options;
    const claim = this.claimFor(delivery);
    const answer = claim ? await claim.take() : 'new';
    if (answer === 'done') {
      counters.duplicates++;
      return DUPLICATE;
    }
    if (answer === 'busy') return this.hop(delivery, Date.now() + DEFAULTS.inboxBusyMs, delivery.deferrals);
    if (answer === 'unknown') return this.hop(delivery, Date.now() + DEFAULTS.inboxFailedMs, delivery.deferrals);
    try {
      const last = async (): Promise<void> => {
        try {
          const result = await (join ? join(payload, context) : handler.invoke(payload, context));
          if (isHandlerValues(result)) await lastOf(result, delivery.signal);
        } catch (error) {
          context.forget(); // a middleware may settle the error
          throw error;
        }
      };
      await (this.around ? this.around(context, last) : last());
      // one that was given up and succeeds after all has had its effect, and the inbox keeps it from having another one
      if (!claim) this.assertInTime(delivery);
      context.close();
      if (context.hasEmitted) await context.flush();
    } catch (error) {
      await claim?.forget();
      throw error;
    }
    await claim?.done();
    counters.handled++;
    return outcomeOf(context);
  }

  /** None for a message without id, none for a broadcast, which is meant for every instance, and none where an answer is awaited. */
  private claimFor(delivery: Delivery): InboxClaim | undefined {
    const { id, replyTo } = delivery.message;
    return id === '' || replyTo !== undefined || delivery instanceof PrivateDelivery
      ? undefined
      : this.options.inbox?.open(id);
  }

  /** A run that was given up must leave no trace: the delivery comes again. */
  private assertInTime(delivery: Delivery): void {
    if (delivery.aborted && isTimeout(delivery.signal.reason))
      throw new HandlerTimeoutError(this.options.group, this.options.timeoutMs);
  }

  private failed(delivery: Delivery, error: unknown, handler?: Handler): Settlement {
    // aborted by the shutdown or with its channel, not by its own fault: it comes again, no attempt counted
    if (delivery.aborted && !isTimeout(delivery.signal.reason)) return RELEASE;
    if (this.options.refuse?.(delivery.message, error)) return refused(toFailure(error));
    if (error instanceof RetryLaterError) return this.defer(delivery, error);
    if (error instanceof DeadLetterError) return dead('not-retryable', error);
    if (error instanceof DecodeError) return dead('undecodable', error);
    if (error instanceof ValidationError) return dead('validation', error);
    if (error instanceof ChainTooDeepError && isCauseOf(error, delivery)) return dead('chain-too-deep', error);
    const final = handler?.classify?.(error);
    if (final !== undefined)
      return dead(
        final,
        error,
        handler?.explain?.(error, () => this.options.decoder.decode(delivery.message)),
      );
    if (!this.isRetryable(error)) return dead('not-retryable', error);
    return this.again(delivery, error);
  }

  /** A policy that throws must not decide over a message: then its error counts as one that can be retried. */
  private isRetryable(error: unknown): boolean {
    try {
      return this.options.retry.retryable?.(error) ?? true;
    } catch {
      return true;
    }
  }

  private unmatched(delivery: Delivery): Settlement {
    const { unmatched } = this.options;
    if (!unmatched) return UNMATCHED;
    const error = new Error(`No handler of group "${this.options.group}" in this process understands the message.`);
    error.name = 'Unmatched';
    // whoever waits for an answer does not wait for another version of the handler
    if (this.options.refuse?.(delivery.message, error)) return refused(toFailure(error));
    // counted by itself: an instance of another version that understands it has all its attempts
    const { attempt, misses = 0 } = delivery;
    const delayMs = unmatched.delaysMs[misses];
    const failure = toFailure(error);
    if (delayMs === undefined) return { kind: 'dead', reason: 'unmatched', attempts: attempt + misses, failure };
    return { kind: 'retry', delayMs, attempt, misses: misses + 1, failure };
  }

  private again(delivery: Delivery, error: unknown): Settlement {
    const { attempt } = delivery;
    const delayMs = this.options.retry.delaysMs[attempt - 1];
    if (delayMs === undefined) return dead('attempts-exhausted', error);
    return { kind: 'retry', delayMs, attempt: attempt + 1, failure: toFailure(error) };
  }

  private defer(delivery: Delivery, error: RetryLaterError): Settlement {
    const deferrals = delivery.deferrals + 1;
    if (deferrals > LIMITS.deferrals) return dead('deferrals-exhausted', error);
    return this.hop(delivery, Date.now() + error.delayMs, deferrals);
  }

  /** Waits without counting an attempt: all of it at once where the transport can, else the longest declared part. */
  private hop(delivery: Delivery, dueAt: number, deferrals: number): Settlement {
    const remaining = Math.max(1, dueAt - Date.now());
    const delayMs =
      this.options.delay === 'exact'
        ? Math.min(remaining, 2 ** 31 - 1)
        : (DEFERRAL_LEVELS_MS.findLast((level) => level <= remaining) ?? DEFERRAL_LEVELS_MS[0] ?? remaining);
    return { kind: 'retry', delayMs, attempt: delivery.attempt, dueAt, deferrals };
  }
}

/** The handler has run to its end; of a request it may have been answered with an error. */
function outcomeOf({ refusal }: DeliveryContext): Settlement {
  return refusal ? refused(refusal) : ACK;
}

function refused(failure: Failure): Settlement {
  return { kind: 'ack', unhandled: 'refused', failure };
}

function dead(reason: string, error: unknown, details?: string): Settlement {
  const failure = toFailure(error);
  if (details === undefined) return { kind: 'dead', reason, failure };
  const message = truncateBytes(`${failure.message}: ${details}`, LIMITS.errorMessageBytes);
  return { kind: 'dead', reason, failure: { ...failure, message } };
}

/** Clocks differ; what asks for more than them was not published by a bus, and would wait for ever. */
function assertBearable(dueAt: number): void {
  if (dueAt - Date.now() > LIMITS.deferMs + CLOCK_MS) throw new ValidationError('It is due in more than 30 days.');
}

/** Another item of its batch may be the cause, without which it fares better next time. */
function isCauseOf({ depth }: ChainTooDeepError, { message }: Delivery): boolean {
  return depth <= (message.depth ?? 0) + 1;
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof HandlerTimeoutError;
}
