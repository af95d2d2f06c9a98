import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { withDeadline } from '../../core/deadline.js';
import { ConnectionError } from '../../core/errors.js';
import type { RabbitMqLink } from './rabbitmq.link.js';

/** Bound for each exchange of frames with the broker. */
const RPC_TIMEOUT_MS = 10_000;
const FIRST_BACKOFF_MS = 50;
const BACKOFF_CAP_MS = 5_000;

export interface ChannelHooks<C extends Channel> {
  /** Everything that must stand before the channel is used. Its failure closes the channel, and another is tried. */
  setUp(channel: C, connection: ChannelModel): Promise<void>;
  onReady?(channel: C): void;
  /** @param error why the broker closed it; absent when the connection went */
  onLost?(channel: C, error: ChannelError | undefined): void;
  onSetUpFailed?(error: Error): void;
}

/** An error by which the broker closes a channel. */
export type ChannelError = Error & { readonly code?: number };

/** The broker refuses a right that the user does not have; its own text would name the user. */
export function accessRefused(what: string, cause: ChannelError): ConnectionError {
  const [, kind = 'it', name = ''] = /access to (\w+) '([^']*)'/.exec(cause.message) ?? [];
  return new ConnectionError(
    `The user may not ${what}: RabbitMQ refuses access to ${kind}${name === '' ? '' : ` "${name}"`}. Grant it; what is made by hand needs no right to declare with assert: 'check'.`,
    { cause, retryable: false },
    'ACCESS_REFUSED',
  );
}

/** What the broker says when it closes a channel, without the user whom it names. */
export function reasonOfClose({ message }: ChannelError): string {
  return message.replace(/ refused for user '.*'/s, ' refused');
}

/** What a driver throws that has been told to close the channel, before it tells. */
export function isChannelClosing(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError';
}

/** Answers go to an address that dies with the channel on which was asked. */
export function answerLost(): ConnectionError {
  return new ConnectionError(
    'The channel for answers was lost while a request was under way: its answer cannot come any more, and it may have been handled.',
  );
}

/** The RPC did not fail, the broker was just silent. */
export function rpc<T>(work: Promise<T>, what: string, ms = RPC_TIMEOUT_MS, signal?: AbortSignal): Promise<T> {
  return withDeadline(work, ms, () => new ConnectionError(`RabbitMQ did not answer in ${ms} ms: ${what}.`), signal);
}

/**
 * A channel that is opened anew, and set up anew, after each loss: of the channel alone as of its connection. Whoever
 * uses it keeps the channel that a message came on, and so can never settle on another one.
 */
export class SupervisedChannel<C extends Channel> {
  private ready: C | undefined;
  /** The connection of that channel. */
  private owner: ChannelModel | undefined;
  private generation = 0;
  private failures = 0;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private unlisten: (() => void) | undefined;

  constructor(
    private readonly link: RabbitMqLink,
    private readonly create: (connection: ChannelModel) => Promise<C>,
    private readonly hooks: ChannelHooks<C>,
  ) {}

  /** The channel, while it is set up and open. */
  get current(): C | undefined {
    return this.ready;
  }

  open(): void {
    if (this.unlisten || this.isClosed) return;
    this.unlisten = this.link.listen({
      onUp: (connection) => this.start(connection),
      onDown: () => this.cancelTimer(),
    });
    if (this.link.connection) this.start(this.link.connection);
  }

  /** Gives the present channel up for another one, without waiting for the broker to agree; `onLost` is told. */
  renew(): void {
    const channel = this.ready;
    if (!channel) return;
    closeQuietly(channel);
    this.lose(channel, undefined);
  }

  async close(deadlineMs = RPC_TIMEOUT_MS): Promise<void> {
    this.isClosed = true;
    this.generation++;
    this.cancelTimer();
    this.unlisten?.();
    const channel = this.ready;
    this.ready = undefined;
    if (!channel) return;
    try {
      await withDeadline(channel.close(), deadlineMs, () => new ConnectionError('The channel did not close in time.'));
    } catch {
      // gone already, or going with its connection
    }
  }

  private start(connection: ChannelModel): void {
    this.cancelTimer();
    const generation = ++this.generation;
    void this.attempt(connection, generation);
  }

  /** Never rejects. */
  private async attempt(connection: ChannelModel, generation: number): Promise<void> {
    let channel: C | undefined;
    try {
      channel = await openInTime(this.create(connection));
      const isOpen = this.watch(channel, connection);
      await this.hooks.setUp(channel, connection);
      if (!isOpen()) throw new ConnectionError('The channel was closed while it was set up.');
    } catch (error) {
      if (channel) closeQuietly(channel);
      if (generation !== this.generation) return;
      this.hooks.onSetUpFailed?.(error instanceof Error ? error : new Error(String(error)));
      this.retry(connection);
      return;
    }
    if (generation !== this.generation) {
      closeQuietly(channel);
      return;
    }
    this.failures = 0;
    this.ready = channel;
    this.owner = connection;
    this.hooks.onReady?.(channel);
  }

  /** @returns whether it is still open */
  private watch(channel: C, connection: ChannelModel): () => boolean {
    let cause: ChannelError | undefined;
    let isOpen = true;
    channel.on('error', (error: ChannelError) => {
      cause = error;
    });
    channel.on('close', () => {
      isOpen = false;
      this.lose(channel, this.link.connection === connection ? cause : undefined);
    });
    return () => isOpen;
  }

  private lose(channel: C, cause: ChannelError | undefined): void {
    if (this.ready !== channel) return; // still being set up: its RPC fails, and attempt() tries again; or lost already
    this.ready = undefined;
    this.hooks.onLost?.(channel, cause);
    const { connection } = this.link;
    if (connection && connection === this.owner) this.retry(connection);
  }

  private retry(connection: ChannelModel): void {
    if (this.isClosed || this.link.connection !== connection) return;
    const wait = Math.min(BACKOFF_CAP_MS, FIRST_BACKOFF_MS * 2 ** Math.min(10, this.failures++));
    this.cancelTimer();
    this.timer = setTimeout(() => {
      if (!this.isClosed && this.link.connection === connection) this.start(connection);
    }, wait);
  }

  private cancelTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

export function openChannel(connection: ChannelModel): Promise<Channel> {
  return connection.createChannel();
}

export function openConfirmChannel(connection: ChannelModel): Promise<ConfirmChannel> {
  return connection.createConfirmChannel();
}

/** Runs `work` on a channel of its own, so that its failure closes nothing else. */
export async function withChannel<T>(connection: ChannelModel, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await openInTime(connection.createChannel());
  channel.on('error', () => undefined); // the RPC that caused it rejects
  try {
    return await work(channel);
  } finally {
    closeQuietly(channel);
  }
}

/** One that opens too late is of no use, but would stay open. */
async function openInTime<C extends Channel>(opening: Promise<C>): Promise<C> {
  try {
    return await rpc(opening, 'open a channel');
  } catch (error) {
    opening.then(closeQuietly, () => undefined);
    throw error;
  }
}

export function closeQuietly(channel: Channel): void {
  try {
    channel.close().catch(() => undefined); // closed meanwhile
  } catch {
    // closed already
  }
}
