import type { GroupRecord } from '../core/group-record.js';
import type { Message } from '../core/message.js';
import type {
  Connection,
  ConsumeEvents,
  Consumer,
  DeadLetters,
  ReplyOptions,
  ReplyPath,
  Routed,
  Source,
  Target,
  Topology,
  Transport,
  TransportCapabilities,
  TransportPublishOptions,
} from '../core/transport.js';

/**
 * A transport that others use too: whoever has made it closes it. Without `tryReply`: who borrows it can only wait for the answers
 * that it has published.
 */
export class BorrowedTransport implements Transport {
  /** Until what it publishes to stands. */
  private declaring: Promise<void> | undefined;

  constructor(private readonly own: Transport) {}

  get name(): string {
    return this.own.name;
  }

  get capabilities(): TransportCapabilities {
    return this.own.capabilities;
  }

  get connection(): Connection {
    return this.own.connection;
  }

  get deadLetters(): DeadLetters {
    return this.own.deadLetters;
  }

  get groupRecord(): GroupRecord | undefined {
    return this.own.groupRecord;
  }

  get obstacle(): Error | undefined {
    return this.own.obstacle;
  }

  /** Another one may have connected it already, with a topology of its own. */
  async connect(topology: Topology): Promise<void> {
    const connecting = this.own.connect(topology);
    // before the first connection what is published waits in the transport, and else it would overtake the declarations
    if (this.own.connection.state === 'up') this.declaring = connecting.catch(() => undefined); // told below
    try {
      await connecting;
    } finally {
      this.declaring = undefined;
    }
    await Promise.all(topology.sources.map((source) => this.own.declare(source)));
  }

  declare(source: Source): Promise<void> {
    return this.own.declare(source);
  }

  async publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    if (this.declaring) await this.declaring;
    return this.own.publish(target, message, options);
  }

  consume(source: Source, events: ConsumeEvents, signal?: AbortSignal): Promise<Consumer> {
    return this.own.consume(source, events, signal);
  }

  canReply(address: string): boolean {
    return this.own.canReply?.(address) ?? true;
  }

  openReplies(onReply: (message: Message) => void, options?: ReplyOptions): Promise<ReplyPath> {
    return this.own.openReplies(onReply, options);
  }

  describe(): Readonly<Record<string, unknown>> {
    return this.own.describe();
  }

  async close(): Promise<void> {}
}
