import { type AmqpConnectionManager, AmqpConnectionManagerClass, type ConnectionUrl } from 'amqp-connection-manager';
import type { ChannelModel } from 'amqplib';
import { pause, withDeadline } from '../../core/deadline.js';
import { Described } from '../../core/described.js';
import { ConnectionError } from '../../core/errors.js';
import type { BusLogger } from '../../core/logger.js';
import type { ConnectionState } from '../../core/transport.js';
import { backoffMs, FIRST_BACKOFF_MS } from './rabbitmq.backoff.js';
import { guardFrames } from './rabbitmq.frame-guard.js';
import { isAccessRefused, isClosedHandshake, isSilence, isTlsFailure, reasonOf } from './rabbitmq.link-failure.js';
import type { ResolvedRabbitMqOptions } from './rabbitmq.options.js';

type ServerOptions = Extract<ConnectionUrl, { readonly url: string }>['connectionOptions'];

export interface LinkListener {
  onUp?(connection: ChannelModel): void;
  onDown?(cause: Error | undefined): void;
  onBlocked?(isBlocked: boolean): void;
  /** It has stopped for good: the broker refused the credentials or the virtual host. */
  onRefused?(error: ConnectionError): void;
}

/** Room for what one turn of the event loop writes; with Node's 16 KiB a burst is cut into single frames. */
const SOCKET_BUFFER = { highWaterMark: 131_072 };
/** An outage is told with so many different reasons at most. */
const REASONS = 5;
/** A connection that lasted so long counts as a good one. */
const STABLE_MS = 1_000;
/** So many in a row: after some 700 ms. */
const CLOSED_HANDSHAKES = 4;

/**
 * One connection that comes back. amqp-connection-manager connects and reconnects; when to try next is decided here,
 * because it knows only one fixed pause.
 */
export class RabbitMqLink extends Described {
  private readonly manager: AmqpConnectionManager;
  private readonly listeners = new Set<LinkListener>();
  private readonly stop = new AbortController();
  /** Destroys the present socket, also during a handshake that the broker does not answer. */
  private giveUp = new AbortController();
  private readonly connectionOptions: ServerOptions;
  private current: ChannelModel | undefined;
  private currentState: ConnectionState = 'idle';
  /** Tries since the last good connection. */
  private attempt = 0;
  /** Index of the server to try next. */
  private server = 0;
  private downSince = 0;
  private refused: ConnectionError | undefined;
  private lastReason: string | undefined;
  /** What has been told of the present outage. */
  private readonly told = new Set<string>();
  private upSince = 0;
  private closedHandshakes = 0;
  private isUnguarded = false;
  /** How many servers in a row would not have us. */
  private refusals = 0;

  constructor(
    private readonly options: ResolvedRabbitMqOptions,
    private readonly purpose: string,
    name: string,
    private readonly logger: BusLogger,
    /** Whether the broker has accepted these credentials before: then a refusal is a fault that will pass. */
    private wasUp = false,
  ) {
    super();
    this.connectionOptions = {
      ...options.tls(),
      timeout: options.connectTimeoutMs,
      // without it every acknowledgement and publish waits 40 ms for the other
      noDelay: true,
      ...SOCKET_BUFFER,
      clientProperties: { connection_name: `${name} ${purpose}` },
    };
    this.manager = new AmqpConnectionManagerClass(null, {
      findServers: () => this.nextServers(),
      heartbeatIntervalInSeconds: Math.max(1, Math.round(options.heartbeatMs / 1_000)),
      reconnectTimeInSeconds: 0.05,
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

  /** Why it is not up, as far as is known. */
  get trouble(): string | undefined {
    return this.lastReason;
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
    if (!this.current) this.giveUp.abort();
    this.become('closed');
    this.current = undefined;
    const closing = this.manager.close();
    try {
      await withDeadline(closing, deadlineMs, () => new ConnectionError('The broker did not answer the close.'));
    } catch {
      // whoever does not answer is not waited for
    } finally {
      // of a blocked or silent broker the driver takes leave without closing the socket, which would keep the process alive
      this.giveUp.abort();
    }
  }

  private up(connection: ChannelModel): void {
    if (this.stop.signal.aborted) {
      this.giveUp.abort();
      return;
    }
    if (isOver(connection)) {
      // closed in the same breath in which it was opened, before anybody listened
      this.manager.reconnect();
      return;
    }
    this.guard(connection);
    this.current = connection;
    this.wasUp = true;
    this.upSince = Date.now();
    this.closedHandshakes = 0;
    if (this.told.size > 0) this.logger.log(`RabbitMQ ${this.purpose} connection to ${this.options.endpoint} is back.`);
    this.told.clear();
    this.lastReason = undefined;
    this.become('up');
    for (const listener of [...this.listeners]) listener.onUp?.(connection);
  }

  override toJSON(): unknown {
    return { purpose: this.purpose, endpoint: this.options.endpoint, state: this.currentState };
  }

  private guard(connection: ChannelModel): void {
    if (guardFrames(connection) || this.isUnguarded) return;
    this.isUnguarded = true;
    this.logger.warn(
      'This release of amqplib is not known: a message with headers that it cannot read would end its connection. Update nestjs-event-bus.',
    );
  }

  private down(cause: Error | undefined): void {
    this.current = undefined;
    if (this.stop.signal.aborted) return;
    // one that breaks again and again is waited for like one that cannot be made
    if (Date.now() - this.upSince >= STABLE_MS) this.attempt = 0;
    this.downSince = Date.now();
    if (isSilence(cause)) {
      // nobody answers its end either
      this.giveUp.abort();
      this.nextServer();
    }
    this.warn(cause);
    this.become('down');
    for (const listener of [...this.listeners]) listener.onDown?.(cause);
  }

  private failed(error: Error): void {
    if (this.stop.signal.aborted || this.refused) return;
    this.nextServer();
    if (!this.isRefusal(error)) {
      this.warn(error);
      this.become('down');
      return;
    }
    this.refused = refusal(this.options.endpoint, error);
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

  private nextServer(): void {
    this.server = (this.server + 1) % this.options.servers().length;
  }

  private become(state: ConnectionState): void {
    this.currentState = state;
  }

  private warn(cause: Error | undefined): void {
    const reason = reasonOf(cause);
    this.lastReason = reason;
    if (this.told.has(reason) || this.told.size >= REASONS) return;
    this.told.add(reason);
    this.logger.warn(
      `RabbitMQ ${this.purpose} connection to ${this.options.endpoint} is down, trying again: ${reason}.`,
    );
  }

  /** One server at a time: the one that was used last, then those after it; between rounds it waits. */
  private async nextServers(): Promise<ConnectionUrl[]> {
    const servers = this.options.servers();
    const round = Math.floor(this.attempt / servers.length);
    const isNewRound = this.attempt % servers.length === 0;
    this.attempt++;
    const wait = round > 0 ? backoffMs(round, Date.now() - this.downSince) : this.firstPauseMs();
    if (isNewRound) await pause(wait, this.stop.signal);
    if (this.stop.signal.aborted) throw new ConnectionError('The connection is closed.');
    this.giveUp = new AbortController();
    const { signal } = this.giveUp;
    return servers.slice(this.server, this.server + 1).map(({ url, user, password }) => ({
      url,
      connectionOptions: { ...this.connectionOptions, signal, credentials: logIn(user, password) },
    }));
  }

  /** A fleet that has lost its broker at one moment must not come back at one moment. */
  private firstPauseMs(): number {
    return this.upSince > 0 ? Math.random() * FIRST_BACKOFF_MS : 0;
  }

  /**
   * What waiting does not mend; a service that has run keeps trying, for an authentication backend can fail for a while
   * and must not take a whole fleet with it. Of a virtual host that is missing or forbidden the driver tells only that the
   * broker closed the handshake, and so does one that is still starting: believed when it repeats before the first
   * connection.
   */
  private isRefusal(error: Error): boolean {
    if (isAccessRefused(error) || isTlsFailure(error))
      return ++this.refusals >= this.options.servers().length && !this.wasUp;
    this.refusals = 0;
    this.closedHandshakes = isClosedHandshake(error) ? this.closedHandshakes + 1 : 0;
    return this.closedHandshakes >= CLOSED_HANDSHAKES && !this.wasUp;
  }
}

/** Closed over, because sockets keep the options that they were made with. */
function logIn(user: string, password: string): { readonly mechanism: string; readonly response: () => Buffer } {
  return { mechanism: 'PLAIN', response: () => Buffer.from(`\0${user}\0${password}`) };
}

function isOver({ connection }: ChannelModel): boolean {
  const { stream } = connection as unknown as { readonly stream?: { readonly writable: boolean } };
  return stream?.writable === false;
}

function refusal(endpoint: string, error: Error): ConnectionError {
  const reason = reasonOf(error);
  return isTlsFailure(error)
    ? new ConnectionError(
        `No TLS connection to RabbitMQ at ${endpoint}: ${reason}. Check tls.ca, tls.cert and tls.servername, and that the port speaks TLS.`,
        { retryable: false },
        'TLS_REFUSED',
      )
    : new ConnectionError(
        `RabbitMQ at ${endpoint} refused the connection: ${reason}. Check user, password and virtual host (and its connection limit).`,
        { retryable: false },
        'CONNECTION_REFUSED',
      );
}
