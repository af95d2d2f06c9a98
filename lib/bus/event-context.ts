import type { Delivery } from '../core/delivery.js';
import { EventBusError } from '../core/errors.js';
import { toFailure } from '../core/failure.js';
import type { Headers, Message } from '../core/message.js';
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
   * Publishes after the handler has succeeded and before its delivery is acknowledged: a failed attempt publishes
   * nothing. Correlation and causation ids are set.
   */
  emit(topic: string, payload: unknown, options?: EventPublishOptions): void;
}

/** For a handler that tells its outcome itself: before it does so it decides over what was emitted. */
export interface HandlerContext extends EventContext {
  /** Publishes what was emitted so far. @throws EventBusError (`EMIT_FAILED`) */
  flush(): Promise<void>;
  /** Forgets it: the handler has failed. */
  discard(): void;
}

export type EmitEvent = (topic: string, payload: unknown, options: EventPublishOptions) => Promise<unknown>;

interface Emitted {
  readonly topic: string;
  readonly payload: unknown;
  readonly options: EventPublishOptions;
}

export class DeliveryContext implements HandlerContext {
  private emitted: Emitted[] | undefined;

  constructor(
    private readonly delivery: Delivery,
    readonly group: string,
    private readonly publish: EmitEvent,
  ) {}

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

  emit(topic: string, payload: unknown, options: EventPublishOptions = {}): void {
    const { id, correlationId = id } = this.message;
    this.emitted ??= [];
    this.emitted.push({ topic, payload, options: { correlationId, causationId: id, ...options } });
  }

  get hasEmitted(): boolean {
    return this.emitted !== undefined;
  }

  async flush(): Promise<void> {
    const { emitted = [] } = this;
    this.emitted = undefined;
    try {
      await Promise.all(emitted.map(({ topic, payload, options }) => this.publish(topic, payload, options)));
    } catch (cause) {
      // not to be mistaken for a fault of the event that is being handled
      throw new EventBusError(
        'EMIT_FAILED',
        `What the handler emitted was not published: ${toFailure(cause).message}`,
        { cause },
      );
    }
  }

  discard(): void {
    this.emitted = undefined;
  }
}
