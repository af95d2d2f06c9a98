import type { Message } from '../../../lib/core/message.js';
import type {
  Connection,
  ConnectionState,
  ConsumeEvents,
  Consumer,
  DeadLetters,
  ReplyPath,
  Routed,
  Source,
  Target,
  Topology,
  Transport,
  TransportCapabilities,
  TransportPublishOptions,
} from '../../../lib/core/transport.js';

export class FakeConsumer implements Consumer {
  state: Consumer['state'] = 'running';
  readonly deadlines: (number | undefined)[] = [];
  /** Ends a close. */
  closing: Promise<void> = Promise.resolve();

  constructor(
    readonly source: Source,
    readonly events: ConsumeEvents,
  ) {}

  async pause(): Promise<void> {
    this.state = 'paused';
  }

  async resume(): Promise<void> {
    this.state = 'running';
  }

  async close(options?: { readonly deadlineMs?: number }): Promise<void> {
    this.state = 'closed';
    this.deadlines.push(options?.deadlineMs);
    await this.closing;
  }
}

class FakeConnection implements Connection {
  readonly endpoint = 'fake:1';
  state: ConnectionState = 'up';
  trouble: string | undefined;

  onStateChange(): () => void {
    return () => undefined;
  }

  raw(): undefined {
    return undefined;
  }
}

export interface Sent {
  readonly target: Target;
  readonly message: Message;
  readonly options: TransportPublishOptions | undefined;
}

/** Does nothing by itself: keeps what it is told, and answers as the test says. */
export class FakeTransport implements Transport {
  readonly name = 'fake';
  readonly connection = new FakeConnection();
  readonly capabilities: TransportCapabilities;
  readonly topologies: Topology[] = [];
  readonly declared: Source[] = [];
  readonly sent: Sent[] = [];
  readonly consumers: FakeConsumer[] = [];
  readonly closedBy: (number | undefined)[] = [];
  obstacle: Error | undefined;

  /** What comes of the next calls. */
  connecting: Promise<void> = Promise.resolve();
  consuming: Promise<void> = Promise.resolve();
  declaring: () => Promise<void> = async () => undefined;
  publishing: (message: Message, target: Target) => Promise<Routed> = async () => ({ routed: true });

  constructor(capabilities: Partial<TransportCapabilities> = {}) {
    this.capabilities = {
      durable: false,
      ordered: 'never',
      delay: 'levels',
      unroutable: true,
      replay: false,
      exchangeTypes: ['topic'],
      ...capabilities,
    };
  }

  async connect(topology: Topology): Promise<void> {
    this.topologies.push(topology);
    await this.connecting;
  }

  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed> {
    this.sent.push({ target, message, options });
    return this.publishing(message, target);
  }

  async consume(source: Source, events: ConsumeEvents): Promise<Consumer> {
    await this.consuming;
    const consumer = new FakeConsumer(source, events);
    this.consumers.push(consumer);
    return consumer;
  }

  async close(options?: { readonly deadlineMs?: number }): Promise<void> {
    this.closedBy.push(options?.deadlineMs);
    this.connection.state = 'closed';
  }

  describe(): Readonly<Record<string, unknown>> {
    return { endpoint: this.connection.endpoint };
  }

  get deadLetters(): DeadLetters {
    throw new Error('Not faked.');
  }

  declare(source: Source): Promise<void> {
    this.declared.push(source);
    return this.declaring();
  }

  openReplies(): Promise<ReplyPath> {
    throw new Error('Not faked.');
  }
}
