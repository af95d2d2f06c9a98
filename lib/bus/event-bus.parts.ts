import type { Delays } from '../core/delays.js';
import type { ExchangeHandler } from '../core/exchange.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Middleware } from '../core/pipeline.js';
import type { Serializer } from '../core/serializer.js';
import type { Transport } from '../core/transport.js';
import type { DeliveryWatch } from './delivery-watch.js';
import type { EventContext } from './event-context.js';
import type { HandlerScope } from './handler-scope.js';
import type { PublishStage } from './publisher.js';
import type { ResolvedOptions } from './resolved-options.js';
import type { OpenGate } from './start-gate.js';

/** What a bus is built from. */
export interface EventBusParts {
  readonly name: string;
  readonly options: ResolvedOptions;
  readonly transport: Transport;
  readonly exchange: ExchangeHandler;
  /** The rules of the exchanges besides the main one, by name. */
  readonly exchanges?: Readonly<Record<string, ExchangeHandler>> | undefined;
  readonly serializer: Serializer;
  /** What consumers read besides what `serializer` writes. */
  readonly accept?: readonly Serializer[] | undefined;
  /** Shared by all buses of an application. */
  readonly scope: HandlerScope;
  readonly logger: BusLogger;
  readonly publishMiddleware?: readonly Middleware<{ message: Message }>[];
  readonly consumeMiddleware?: readonly Middleware<EventContext>[];
  /** Takes the place of sending straight to the transport: an outbox. */
  readonly stage?: PublishStage;
  /** Where idempotent groups remember what they have handled. Default: in the memory of this bus. */
  readonly inbox?: InboxStore | undefined;
  /** Told of what becomes of deliveries. Default: nobody. */
  readonly watch?: DeliveryWatch | undefined;
  /** What retries of private handlers wait by. Default: timers. */
  readonly delays?: Delays | undefined;
  /**
   * Tells this bus's record of groups from that of another bus of the same service, which would take its groups for vanished.
   * Default: none.
   */
  readonly record?: string | undefined;
  /** What the start waits for before anything is consumed. Default: nothing. */
  readonly gate?: OpenGate | undefined;
}
