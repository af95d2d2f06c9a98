import type { ChannelModel } from 'amqplib';
import { withDeadline } from '../../core/deadline.js';
import { Described } from '../../core/described.js';
import { BusClosedError, ConnectionError } from '../../core/errors.js';
import { describeError } from '../../core/failure.js';
import type { BusLogger } from '../../core/logger.js';
import type { Connection, ConnectionState } from '../../core/transport.js';
import { RabbitMqLink } from './rabbitmq.link.js';
import type { ResolvedRabbitMqOptions } from './rabbitmq.options.js';

/** Whoever waits for the work hears of its failure. */
const UNHEARD: BusLogger = { log: () => undefined, warn: () => undefined, error: () => undefined };
const CLOSE_MS = 1_000;
const APART_MS = 10_000;

/** The driver's own connections, while there are any. They change at every reconnect. */
export interface RabbitMqRaw {
  readonly publish: ChannelModel | undefined;
  readonly consume: ChannelModel | undefined;
}

/**
 * Two connections: one to publish, one to consume, because a broker in trouble blocks publishers and must not keep
 * consumers from acknowledging.
 */
export class RabbitMqConnection extends Described implements Connection {
  readonly publish: RabbitMqLink;
  readonly consume: RabbitMqLink;
  /** Those of single pieces of work, and how to tell the work that it has no connection any more. */
  private readonly others = new Map<RabbitMqLink, (error: Error) => void>();
  private readonly listeners = new Set<(state: ConnectionState, cause?: Error) => void>();
  private last: ConnectionState = 'idle';

  constructor(
    private readonly options: ResolvedRabbitMqOptions,
    private readonly name: string,
    private readonly logger: BusLogger,
  ) {
    super();
    if (options.isUnverified)
      logger.warn(
        `RabbitMQ at ${options.endpoint}: tls.rejectUnauthorized is false, so anyone on the way can read and change everything. Use tls.ca instead.`,
      );
    this.publish = new RabbitMqLink(options, 'publish', name, logger);
    this.consume = new RabbitMqLink(options, 'consume', name, logger);
    for (const link of [this.publish, this.consume]) {
      link.listen({
        onUp: () => this.changed(),
        onDown: (cause) => this.changed(cause),
        onBlocked: () => this.changed(),
        onRefused: (error) => this.changed(error),
      });
    }
  }

  /** The worse of the two. */
  get state(): ConnectionState {
    const states = [this.publish.state, this.consume.state];
    const order: readonly ConnectionState[] = ['closed', 'down', 'connecting', 'idle', 'blocked', 'up'];
    return order.find((state) => states.includes(state)) ?? 'idle';
  }

  get endpoint(): string {
    return this.options.endpoint;
  }

  get trouble(): string | undefined {
    return this.publish.trouble ?? this.consume.trouble;
  }

  onStateChange(listener: (state: ConnectionState, cause?: Error) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Runs `work` on a connection of its own: what breaks that one breaks nothing else. */
  async apart<T>(purpose: string, work: (connection: ChannelModel) => Promise<T>): Promise<T> {
    if (this.state === 'closed') throw new BusClosedError(`use the ${purpose}`);
    const link = new RabbitMqLink(this.options, purpose, this.name, UNHEARD, true);
    const gone = new Promise<never>((_, reject) => this.others.set(link, reject));
    try {
      const up = new Promise<ChannelModel>((resolve) => link.listen({ onUp: resolve }));
      link.open();
      const opened = withDeadline(
        up,
        APART_MS,
        () => new ConnectionError(`RabbitMQ at ${this.endpoint} cannot be reached: ${link.trouble ?? 'no answer'}.`),
      );
      const connection = await Promise.race([opened, gone]);
      link.listen({
        onDown: (cause) => this.others.get(link)?.(new ConnectionError('The connection was lost.', { cause })),
      });
      return await Promise.race([work(connection), gone]);
    } finally {
      this.others.delete(link);
      await link.close(CLOSE_MS);
    }
  }

  raw(): RabbitMqRaw {
    return { publish: this.publish.connection, consume: this.consume.connection };
  }

  open(): void {
    this.publish.open();
    this.consume.open();
    this.changed();
  }

  async close(deadlineMs: number): Promise<void> {
    const others = [...this.others];
    const links = [this.publish, this.consume, ...others.map(([link]) => link)];
    await Promise.all(links.map((link) => link.close(deadlineMs)));
    for (const [, tell] of others) tell(new BusClosedError('go on'));
    this.changed();
  }

  override toJSON(): unknown {
    return { endpoint: this.endpoint, state: this.state };
  }

  private changed(cause?: Error): void {
    const { state } = this;
    if (state === this.last) return;
    this.last = state;
    for (const listener of [...this.listeners]) {
      try {
        listener(state, cause);
      } catch (error) {
        // it must not break the recovery that calls it
        this.logger.error(`A listener of the connection's state failed: ${describeError(error)}`);
      }
    }
  }
}
