import type { ExchangeHandler } from '../core/exchange.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Middleware } from '../core/pipeline.js';
import type { Serializer } from '../core/serializer.js';
import type { Transport } from '../core/transport.js';
import type { EventContext } from './event-context.js';
import type { PublishStage } from './publisher.js';
import type { ResolvedOptions } from './resolved-options.js';

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
  readonly logger: BusLogger;
  readonly publishMiddleware?: readonly Middleware<{ message: Message }>[];
  readonly consumeMiddleware?: readonly Middleware<EventContext>[];
  /** Takes the place of sending straight to the transport: an outbox. */
  readonly stage?: PublishStage;
  /** Where idempotent groups remember what they have handled. Default: in the memory of this bus. */
  readonly inbox?: InboxStore | undefined;
  /**
   * Tells this bus's record of groups from that of another bus of the same service, which would take its groups for vanished.
   * Default: none.
   */
  readonly record?: string | undefined;
}
