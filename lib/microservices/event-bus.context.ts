import { BaseRpcContext } from '@nestjs/microservices';
import type { EventContext } from '../bus/event-context.js';
import type { EventClass, EventDefinition } from '../bus/event-definition.js';
import type { EventPublishOptions } from '../bus/publish-options.js';
import type { Headers, Message } from '../core/message.js';
import { readMetadata } from './packet-metadata.js';

/**
 * What `@Ctx()` gives to a handler.
 *
 * @example
 * @EventPattern('orders.*')
 * on(@Payload() order: Order, @Ctx() context: EventBusContext) {
 *   context.emit('invoices.wanted', { order: order.id });
 * }
 * @publicApi
 */
export class EventBusContext extends BaseRpcContext<[EventContext, string, boolean]> implements EventContext {
  /** The pattern as the handler's decorator has it; where one method asks for several under one `group`: all, with commas. */
  getPattern(): string {
    return this.args[1];
  }

  /** What the client's dispatch hook has put beside the payload, if anything. */
  getMetadata(): Readonly<Record<string, string>> | undefined {
    return readMetadata(this.headers);
  }

  /** Whether somebody waits for an answer: it has one attempt, and its error is the answer. */
  get isRequest(): boolean {
    return this.args[2];
  }

  get message(): Message {
    return this.args[0].message;
  }

  get topic(): string {
    return this.args[0].topic;
  }

  get headers(): Headers {
    return this.args[0].headers;
  }

  get group(): string {
    return this.args[0].group;
  }

  get attempt(): number {
    return this.args[0].attempt;
  }

  get redelivered(): boolean {
    return this.args[0].redelivered;
  }

  get signal(): AbortSignal {
    return this.args[0].signal;
  }

  emit<T>(event: EventDefinition<T> | EventClass<T>, payload: T, options?: EventPublishOptions): void;
  emit(event: object, options?: EventPublishOptions): void;
  emit(topic: string, payload: unknown, options?: EventPublishOptions): void;
  emit(...args: [first: string | object, second?: unknown, third?: EventPublishOptions]): void {
    (this.args[0].emit as (...given: typeof args) => void)(...args);
  }
}
