import type { ChannelModel } from 'amqplib';
import type { BusLogger } from '../../core/logger.js';
import type { Connection, ConnectionState } from '../../core/transport.js';
import { RabbitMqLink } from './rabbitmq.link.js';
import type { ResolvedRabbitMqOptions } from './rabbitmq.options.js';

/** The driver's own connections, while there are any. They change at every reconnect. */
export interface RabbitMqRaw {
  readonly publish: ChannelModel | undefined;
  readonly consume: ChannelModel | undefined;
}

/**
 * Two connections: one to publish, one to consume, because a broker in trouble blocks publishers and must not keep
 * consumers from acknowledging.
 */
export class RabbitMqConnection implements Connection {
  readonly publish: RabbitMqLink;
  readonly consume: RabbitMqLink;
  private readonly listeners = new Set<(state: ConnectionState, cause?: Error) => void>();
  private last: ConnectionState = 'idle';

  constructor(
    private readonly options: ResolvedRabbitMqOptions,
    name: string,
    logger: BusLogger,
  ) {
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

  onStateChange(listener: (state: ConnectionState, cause?: Error) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
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
    await Promise.all([this.publish.close(deadlineMs), this.consume.close(deadlineMs)]);
    this.changed();
  }

  private changed(cause?: Error): void {
    const { state } = this;
    if (state === this.last) return;
    this.last = state;
    for (const listener of this.listeners) listener(state, cause);
  }
}
