import { type AmqpConnectionManager, AmqpConnectionManagerClass } from 'amqp-connection-manager';
import type { ChannelModel } from 'amqplib';
import { pause, withDeadline } from '../../core/deadline.js';
import { ConnectionError } from '../../core/errors.js';
import type { BusLogger } from '../../core/logger.js';
import type { ConnectionState } from '../../core/transport.js';
import type { ResolvedRabbitMqOptions } from './rabbitmq.options.js';

export interface LinkListener {
  onUp?(connection: ChannelModel): void;
  onDown?(cause: Error | undefined): void;
  onBlocked?(isBlocked: boolean): void;
  /** It has stopped for good: the broker refused the credentials or the virtual host. */
  onRefused?(error: ConnectionError): void;
}

/** Room for what one turn of the event loop writes; with Node's 16 KiB a burst is cut into single frames. */
const SOCKET_BUFFER = { highWaterMark: 131_072 };
const FIRST_BACKOFF_MS = 100;
const EARLY_CAP_MS = 2_000;
/** So many in a row: after some 700 ms. */
const CLOSED_HANDSHAKES = 4;
const LATE_CAP_MS = 30_000;
const EARLY_MS = 60_000;

/**
 * One connection that comes back. amqp-connection-manager connects and reconnects; when to try next is decided here,
 * because it knows only one fixed pause.
 */
export class RabbitMqLink {
  private readonly manager: AmqpConnectionManager;
  private readonly listeners = new Set<LinkListener>();
  private readonly stop = new AbortController();
  private current: ChannelModel | undefined;
  private currentState: ConnectionState = 'idle';
  private attempt = 0;
  private downSince = 0;
  private refused: ConnectionError | undefined;
  private isWarned = false;
  private wasUp = false;
  private closedHandshakes = 0;

  constructor(
    private readonly options: ResolvedRabbitMqOptions,
    private readonly purpose: 'publish' | 'consume',
    name: string,
    private readonly logger: BusLogger,
  ) {
    this.manager = new AmqpConnectionManagerClass(null, {
      findServers: () => this.nextServers(),
      heartbeatIntervalInSeconds: Math.max(1, Math.round(options.heartbeatMs / 1_000)),
      reconnectTimeInSeconds: 0.05,
      connectionOptions: {
        ...options.tls,
        timeout: options.connectTimeoutMs,
        // without it every acknowledgement and publish waits 40 ms for the other
        noDelay: true,
        ...SOCKET_BUFFER,
        clientProperties: { connection_name: `${name} ${purpose}` },
      },
    });
    this.manager.on('connect', ({ connection }) => this.up(connection as unknown as ChannelModel));
    this.manager.on('disconnect', ({ err }) => this.down(err));
    this.manager.on('connectFailed', ({ err }) => this.failed(err));
    this.manager.on('blocked', () => this.blocked(true));
    this.manager.on('unblocked', () => this.blocked(false));
  }

  get state(): ConnectionState {
    return this.currentState;
  }

  /** Why it has stopped for good. */
  get refusal(): ConnectionError | undefined {
    return this.refused;
  }

  get connection(): ChannelModel | undefined {
    return this.current;
  }

  listen(listener: LinkListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  open(): void {
    if (this.currentState !== 'idle') return;
    this.downSince = Date.now();
    this.become('connecting');
    // settles with the first connection or refusal, both of which come as events too
    this.manager.connect().catch(() => undefined);
  }

  /** Ends by the deadline: if the broker does not answer, the socket is destroyed. */
  async close(deadlineMs: number): Promise<void> {
    if (this.stop.signal.aborted) return;
    this.stop.abort();
    const { current } = this;
    this.become('closed');
    this.current = undefined;
    try {
      await withDeadline(
        this.manager.close(),
        deadlineMs,
        () => new ConnectionError('The broker did not answer the close.'),
      );
    } catch {
      destroySocket(current);
    }
  }

  private up(connection: ChannelModel): void {
    if (this.stop.signal.aborted) {
      destroySocket(connection);
      return;
    }
    this.current = connection;
    this.wasUp = true;
    this.attempt = 0;
    this.closedHandshakes = 0;
    if (this.isWarned) this.logger.log(`RabbitMQ ${this.purpose} connection to ${this.options.endpoint} is back.`);
    this.isWarned = false;
    this.become('up');
    for (const listener of [...this.listeners]) listener.onUp?.(connection);
  }

  private down(cause: Error | undefined): void {
    this.current = undefined;
    if (this.stop.signal.aborted) return;
    this.downSince = Date.now();
    this.warn(cause);
    this.become('down');
    for (const listener of [...this.listeners]) listener.onDown?.(cause);
  }

  private failed(error: Error): void {
    if (this.stop.signal.aborted || this.refused) return;
    if (!this.isRefusal(error)) {
      this.warn(error);
      this.become('down');
      return;
    }
    this.refused = new ConnectionError(
      `RabbitMQ at ${this.options.endpoint} refused the connection: ${reasonOf(error)}. Check user, password and virtual host (and its connection limit).`,
      { retryable: false },
      'CONNECTION_REFUSED',
    );
    this.logger.error(this.refused.message);
    this.stop.abort();
    this.become('down');
    for (const listener of [...this.listeners]) listener.onRefused?.(this.refused);
    this.manager.close().catch(() => undefined); // there is no connection to close, only the retries to stop
  }

  private blocked(isBlocked: boolean): void {
    if (!this.current) return;
    this.logger.warn(
      `RabbitMQ ${isBlocked ? 'blocks' : 'accepts'} publishers${isBlocked ? ' (memory or disk alarm)' : ' again'}.`,
    );
    this.become(isBlocked ? 'blocked' : 'up');
    for (const listener of [...this.listeners]) listener.onBlocked?.(isBlocked);
  }

  private become(state: ConnectionState): void {
    this.currentState = state;
  }

  private warn(cause: Error | undefined): void {
    if (this.isWarned) return;
    this.isWarned = true;
    this.logger.warn(
      `RabbitMQ ${this.purpose} connection to ${this.options.endpoint} is down, trying again: ${reasonOf(cause)}.`,
    );
  }

  private async nextServers(): Promise<string[]> {
    const wait = this.nextBackoffMs();
    this.attempt++;
    await pause(wait, this.stop.signal);
    if (this.stop.signal.aborted) throw new ConnectionError('The connection is closed.');
    return [...this.options.urls];
  }

  /**
   * What waiting does not mend; a service that has run keeps trying, for an authentication backend can fail for a while
   * and must not take a whole fleet with it. Of a virtual host that is missing or forbidden the driver tells only that the broker closed
   * the handshake, and so does one that is still starting: believed when it repeats before the first connection.
   */
  private isRefusal(error: Error): boolean {
    if (/ACCESS[_-]REFUSED|NOT[_-]ALLOWED/.test(error.message)) return !this.wasUp;
    this.closedHandshakes = /got <ConnectionClose/.test(error.message) ? this.closedHandshakes + 1 : 0;
    return this.closedHandshakes >= CLOSED_HANDSHAKES && !this.wasUp;
  }

  /** Equal jitter: half of it is certain, so that a fleet neither hammers nor comes back in step. */
  private nextBackoffMs(): number {
    if (this.attempt === 0) return 0;
    const cap = Date.now() - this.downSince < EARLY_MS ? EARLY_CAP_MS : LATE_CAP_MS;
    const full = Math.min(cap, FIRST_BACKOFF_MS * 2 ** Math.min(20, this.attempt - 1));
    return full / 2 + (Math.random() * full) / 2;
  }
}

/** The text of the driver without what could be a URL in it. */
function reasonOf(error: Error | undefined): string {
  if (!error) return 'closed by the broker';
  const code = (error as { readonly code?: unknown }).code;
  const message = error.message || (typeof code === 'string' ? code : error.name);
  return message.replace(/amqps?:\/\/\S+/g, 'amqp://…');
}

function destroySocket(connection: ChannelModel | undefined): void {
  const stream = (connection?.connection as { readonly stream?: { destroy(error: Error): void } } | undefined)?.stream;
  // with an error: without one the driver hears of nothing, and its heartbeat timers go on
  stream?.destroy(new ConnectionError('The connection was given up.'));
}
