import { Injectable } from '@nestjs/common';
import type { EventContext } from './bus/event-context.js';
import { HandlerScope } from './bus/handler-scope.js';
import { EventBusError } from './core/errors.js';

/**
 * The context of the handler on whose behalf the code that asks is running, however deep in its calls and whatever was awaited
 * meanwhile: for singletons that the handler does not hand it to. The same for all buses of an application.
 *
 * @example
 * @Injectable()
 * export class AuditLog {
 *   constructor(private readonly events: EventContextHost) {}
 *   write(text: string): void {
 *     console.log(this.events.current?.message.correlationId, text);
 *   }
 * }
 * @publicApi
 */
@Injectable()
export class EventContextHost {
  constructor(private readonly scope: HandlerScope) {}

  /** Undefined outside of handlers, and in one that gets batches: it is given a context for each item. */
  get current(): EventContext | undefined {
    return this.scope.current;
  }

  /** @throws EventBusError (`NO_CONTEXT`) where `current` is undefined */
  getOrThrow(): EventContext {
    const { current } = this;
    if (current) return current;
    throw new EventBusError(
      'NO_CONTEXT',
      'No event is being handled here. Call it from a handler, or from what a handler calls; one that gets batches is given the contexts as its second argument.',
    );
  }
}
