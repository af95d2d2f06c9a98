import type { Delivery, Failure } from '../core/delivery.js';
import { ChainTooDeepError, EventBusError } from '../core/errors.js';
import { toFailure } from '../core/failure.js';
import { Gate } from '../core/gate.js';
import type { Headers, Message } from '../core/message.js';
import type { EventClass, EventDefinition } from './event-definition.js';
import type { EventRegistry, NamedEvent } from './event-registry.js';
import type { EventPublishOptions } from './publish-options.js';

/** What a handler gets beside the payload. */
export interface EventContext {
  /** The message as it arrived, body in bytes. */
  readonly message: Message;
  readonly topic: string;
  readonly headers: Headers;
  /** Name of the group that the handler belongs to. */
  readonly group: string;
  /** 1 on the first delivery. */
  readonly attempt: number;
  /** Whether it may have been handled before: by a process that died, or in an attempt that failed. */
  readonly redelivered: boolean;
  /** Aborted when the handler ran too long, the delivery was lost, or the shutdown deadline has passed. */
  readonly signal: AbortSignal;
  /**
   * Publishes after the handler has succeeded and before its delivery is acknowledged: a failed attempt publishes nothing, nor
   * does one of which something cannot be encoded, is refused by its schema or is too deep. What the broker does not take fails the
   * attempt as well; others may be out by then, and come again with the next one. The payload counts as it is when the handler has
   * ended. Correlation and causation ids are set.
   *
   * @throws EventBusError (`CONTEXT_CLOSED`) when the handler has ended already
   * @throws ConfigurationError for an object whose class has no `@Event`
   */
  emit<T>(event: EventDefinition<T> | EventClass<T>, payload: T, options?: EventPublishOptions): void;
  emit(event: object, options?: EventPublishOptions): void;
  emit(topic: string, payload: unknown, options?: EventPublishOptions): void;
}

/** For a handler that tells its outcome itself: before it does so it decides over what was emitted. */
export interface HandlerContext extends EventContext {
  readonly hasEmitted: boolean;
  /** The handler has ended: what was emitted by then is all. */
  close(): void;
  /** Publishes what was emitted: the handler has succeeded, and cannot emit any more. @throws EventBusError (`EMIT_FAILED`), ChainTooDeepError */
  flush(): Promise<void>;
  /**
   * Forgets it: the handler has failed, and cannot emit any more.
   *
   * @param error with which whoever asked was answered
   */
  discard(error?: unknown): void;
  /** Until when whoever has asked waits; undefined when nobody does, or does so for as long as it is answered. */
  readonly answerBy: number | undefined;
  /** The first part of its answer goes to whoever has asked: from now on each part has a time of its own. */
  beginAnswer(): void;
  /** The same as `signal.aborted`, without making a signal. */
  readonly aborted: boolean;
  /** Tells the handler to stop. */
  abort(reason: unknown): void;
}

/** The circumstances in which something was emitted. */
export interface Emission {
  /** Whose handler has emitted it. */
  readonly origin: EventContext;
  /** To be awaited when nothing is left to do but to send it; rejects when that must not be done. */
  ready(): Promise<void>;
}

export type EmitEvent = (event: NamedEvent, emission: Emission) => Promise<unknown>;

export interface DeliveryContextOptions {
  readonly group: string;
  readonly emit: EmitEvent;
  readonly registry: EventRegistry;
}

export class DeliveryContext implements HandlerContext {
  private emitted: NamedEvent[] | undefined;
  private isClosed = false;
  private refused: Failure | undefined;
  private hasBegunAnswer = false;

  constructor(
    private readonly delivery: Delivery,
    private readonly options: DeliveryContextOptions,
  ) {}

  get group(): string {
    return this.options.group;
  }

  get message(): Message {
    return this.delivery.message;
  }

  get topic(): string {
    return this.delivery.message.topic;
  }

  get headers(): Headers {
    return this.delivery.message.headers;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  get redelivered(): boolean {
    return this.delivery.redelivered;
  }

  get signal(): AbortSignal {
    return this.delivery.signal;
  }

  get answerBy(): number | undefined {
    const { replyTo, expiresAt } = this.delivery.message;
    return replyTo === undefined || this.hasBegunAnswer ? undefined : expiresAt;
  }

  beginAnswer(): void {
    this.hasBegunAnswer = true;
  }

  get aborted(): boolean {
    return this.delivery.aborted;
  }

  abort(reason: unknown): void {
    this.delivery.abort(reason);
  }

  emit(first: string | object, second?: unknown, third?: EventPublishOptions): void {
    const event = this.options.registry.toEvent(first, second, third);
    if (this.isClosed) {
      throw new EventBusError(
        'CONTEXT_CLOSED',
        `"${event.topic}" cannot be emitted: the handler of "${this.topic}" in ${this.group} has ended. Let it await what it begins, or publish on the bus.`,
      );
    }
    this.emitted ??= [];
    this.emitted.push(event);
  }

  get hasEmitted(): boolean {
    return this.emitted !== undefined;
  }

  close(): void {
    this.isClosed = true;
  }

  async flush(): Promise<void> {
    this.close();
    const { emitted } = this;
    if (!emitted) return;
    this.emitted = undefined;
    // what is sent for an attempt that fails is sent again by the next one, so nothing is before all of it is fit to be
    const gate = new Gate(emitted.length);
    const emission: Emission = { origin: this, ready: () => gate.pass() };
    const send = async (event: NamedEvent): Promise<void> => {
      try {
        await this.options.emit(event, emission);
      } catch (error) {
        gate.fail(error);
        throw error;
      }
    };
    try {
      await Promise.all(emitted.map(send));
    } catch (cause) {
      if (cause instanceof ChainTooDeepError) throw cause;
      // not to be mistaken for a fault of the event that is being handled
      throw new EventBusError(
        'EMIT_FAILED',
        `What the handler emitted was not published: ${toFailure(cause).message}`,
        { cause },
      );
    }
  }

  discard(error?: unknown): void {
    this.close();
    this.forget();
    if (error !== undefined) this.refused = toFailure(error);
  }

  /** With what its request was refused, if it was. */
  get refusal(): Failure | undefined {
    return this.refused;
  }

  /** What was emitted so far is not published. Whoever settles the error, such as a filter, may still emit. */
  forget(): void {
    this.emitted = undefined;
  }
}
