import { ConfigurationError } from '../core/errors.js';
import type { EventRegistry, NamedEvent } from './event-registry.js';
import type { EventPublishOptions, OutgoingEvent, PublishReceipt } from './publish-options.js';
import type { Publisher, PublishKind } from './publisher.js';

/** The forms in which events are handed over: a topic with a payload, an object of an `@Event` class, a definition with a payload. */
export class TypedPublisher {
  constructor(
    private readonly publisher: Publisher,
    private readonly registry: EventRegistry,
  ) {}

  /** The arguments of `publish` and `broadcast`, whichever of their overloads was called. */
  publish(
    kind: PublishKind,
    first: string | object,
    second: unknown,
    third: EventPublishOptions | undefined,
  ): Promise<PublishReceipt> {
    let event: NamedEvent;
    try {
      event = this.registry.toEvent(first, second, third);
    } catch (error) {
      return Promise.reject(error);
    }
    const { topic, payload, options, definition } = event;
    return this.publisher.publish(kind, topic, payload, options, definition);
  }

  /** One of a sequence, which waits for room. */
  async publishOne(event: OutgoingEvent): Promise<PublishReceipt> {
    const { topic, payload, options } = event as { topic?: unknown; payload?: unknown; options?: EventPublishOptions };
    const prototype: unknown = Object.getPrototypeOf(event);
    if (typeof topic === 'string' && (prototype === Object.prototype || prototype === null)) {
      if (options?.background)
        throw new ConfigurationError(
          'publishAll waits for each event: leave background out, or publish them one by one.',
        );
      return this.publisher.publish('events', topic, payload, options, undefined, true);
    }
    const definition = this.registry.get(event);
    return this.publisher.publish('events', definition.topic, event, undefined, definition, true);
  }
}
