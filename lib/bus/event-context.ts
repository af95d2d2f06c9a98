import type { Delivery } from '../core/delivery.js';
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

interface Emitted {
  readonly topic: string;
  readonly payload: unknown;
  readonly options: EventPublishOptions;
}

export class DeliveryContext implements EventContext {
  private emitted: Emitted[] | undefined;

  constructor(
    private readonly delivery: Delivery,
    readonly group: string,
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

  /** What `emit` has collected. */
  takeEmitted(): readonly Emitted[] {
    const { emitted = [] } = this;
    this.emitted = undefined;
    return emitted;
  }
}
