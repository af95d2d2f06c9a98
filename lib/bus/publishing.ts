import type { Source } from '../core/transport.js';
import { AlternateQueues } from './alternate-queues.js';
import type { BusExchanges } from './bus-exchanges.js';
import type { EventBusParts } from './event-bus.parts.js';
import { PublishCounters } from './event-bus.stats.js';
import type { EmitEvent } from './event-context.js';
import type { EventRegistry } from './event-registry.js';
import type { MessageDecoder } from './message-decoder.js';
import { encodingOf } from './message-encoder.js';
import { Publisher } from './publisher.js';
import { TypedPublisher } from './typed-publisher.js';
import { Unroutables } from './unroutables.js';

export interface PublishingParts extends Omit<EventBusParts, 'exchanges'> {
  readonly exchanges: BusExchanges;
  readonly decoder: MessageDecoder;
  readonly registry: EventRegistry;
  /** The source of a group that is known here, by its full name. */
  readonly sourceOf: (group: string) => Source | undefined;
}

/** The way out: what is published, and what becomes of that which no group gets. */
export class Publishing {
  readonly counters = new PublishCounters();
  readonly unroutables: Unroutables;
  readonly alternates: AlternateQueues;
  readonly events: TypedPublisher;
  private readonly publisher: Publisher;

  constructor(parts: PublishingParts) {
    const { options, transport, exchanges, decoder, logger } = parts;
    const { counters } = this;
    const { publish } = options;
    this.unroutables = new Unroutables({
      publish,
      isKnown: transport.capabilities.unroutable,
      decoder,
      counters,
      logger,
    });
    this.alternates = new AlternateQueues({ options, exchanges, transport, sourceOf: parts.sourceOf });
    this.publisher = new Publisher({
      ...encodingOf(parts),
      exchanges,
      transport,
      timeoutMs: publish.timeoutMs,
      unroutables: this.unroutables,
      alternates: this.alternates,
      counters,
      scope: parts.scope,
      logger,
      middleware: parts.publishMiddleware,
      stage: parts.stage,
    });
    this.events = new TypedPublisher(this.publisher, parts.registry);
  }

  /** What a handler has emitted. */
  readonly emit: EmitEvent = ({ topic, payload, options, definition }, emission) =>
    this.publisher.publish('events', topic, payload, options, definition, false, emission);

  /** Waits for publishes that the transport must not see as new ones when it closes. */
  settle(deadlineMs: number): Promise<void> {
    return this.publisher.settle(deadlineMs);
  }
}
