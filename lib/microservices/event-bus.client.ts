import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { defer, type Observable, ReplaySubject } from 'rxjs';
import { commandGroup } from '../bus/command-group.js';
import type { EventBus } from '../bus/event-bus.js';
import { decoderOf } from '../bus/message-decoder.js';
import { encodingOf, MessageEncoder } from '../bus/message-encoder.js';
import { qualify } from '../bus/resolved-options.js';
import { conceal } from '../concealed-options.js';
import { BusClosedError, ConfigurationError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import { DEFAULTS } from '../core/limits.js';
import { createEventBus, loggerOf, type MadeBus } from '../create-event-bus.js';
import type { EventBusModuleOptions } from '../event-bus.lifecycle.js';
import { Cancellations } from '../rpc/cancellations.js';
import { Requester } from '../rpc/requester.js';
import type { Reply } from '../rpc/rpc.wire.js';
import { BorrowedTransport } from './borrowed.transport.js';
import { type EventBusConnectionStatus, followStatus } from './connection-status.js';
import { toMetadataHeaders } from './packet-metadata.js';

/** Options of the bus; a transport that is handed in ready-made stays open when the client closes. */
export type EventBusClientOptions = Omit<EventBusModuleOptions, 'globalEnhancers' | 'consume' | 'autoStart' | 'inbox'>;

interface Opened extends MadeBus {
  readonly requester: Requester;
  /** Stops telling the status: a transport that was handed in lives on. */
  readonly unfollow: () => void;
}

/**
 * Publishes events and sends requests over the event bus, for what injects a `ClientProxy`. Publishes and requests wait, within
 * their bounds, while the broker is away: `startup.mode` is `background` unless the options say `wait`.
 *
 * @example
 * ClientsModule.register([{ name: 'ORDERS', customClass: EventBusClient, options: { service: 'shop', transport: 'amqp://localhost' } }])
 * await lastValueFrom(client.emit('orders.created', { id: '42' })); // the receipt: the broker has it
 * await firstValueFrom(client.send('orders.place', { id: '42' }));
 * @publicApi
 */
export class EventBusClient extends ClientProxy {
  private readonly options: EventBusClientOptions;
  private making: Promise<Opened> | undefined;
  private opening: Promise<Opened> | undefined;
  private opened: Opened | undefined;
  private isClosed = false;

  /** @param options as for `EventBusModule.forRoot`; they are checked by `connect` */
  constructor(options: EventBusClientOptions = {}) {
    super();
    this.options = conceal(options);
  }

  /** Whether there is a connection; now, and whenever that changes. */
  override get status(): Observable<EventBusConnectionStatus> {
    return super.status as Observable<EventBusConnectionStatus>;
  }

  /** Called by the first `emit` or `send`. @throws ConfigurationError, ConnectionError (`startup.mode: 'wait'`), BusClosedError */
  async connect(): Promise<void> {
    if (this.isClosed) throw new BusClosedError('publish');
    this.opening ??= this.open();
    const { opening } = this;
    try {
      this.opened = await opening;
    } catch (error) {
      if (this.opening === opening) this.opening = undefined; // the next one tries again
      throw error;
    }
  }

  /**
   * Publishes at once, whether or not anybody subscribes to what it returns: the receipt when the broker has confirmed the
   * event, or a typed error. An error that nobody looks at is logged.
   */
  override emit<TResult = unknown, TInput = unknown>(pattern: unknown, data: TInput): Observable<TResult> {
    const outcome = new ReplaySubject<TResult>(1);
    let isWatched = false;
    super.emit<TResult, TInput>(pattern, data).subscribe({
      next: (receipt) => outcome.next(receipt),
      complete: () => outcome.complete(),
      error: (error: unknown) => {
        outcome.error(error);
        setImmediate(() => {
          if (!isWatched) loggerOf(this.options).error(`An event was not published: ${describeError(error)}`);
        });
      },
    });
    return defer(() => {
      isWatched = true;
      return outcome;
    });
  }

  /** Rejects what waits for an answer, sends what is buffered, closes. Idempotent; it cannot be connected again. */
  async close(): Promise<void> {
    this.isClosed = true;
    const made = await this.making?.catch(() => undefined); // whoever opened it was told; whether it is connected yet or not
    if (!made) return;
    await Promise.all([made.requester.close(), made.bus.close()]);
    made.unfollow();
  }

  /** The bus: to publish with options. @throws ConfigurationError before `connect` */
  unwrap<T = EventBus>(): T {
    return this.current().bus as T;
  }

  protected async dispatchEvent<T>(packet: ReadPacket): Promise<T> {
    const headers = headersOf(packet);
    const topic = this.normalizePattern(packet.pattern);
    return (await this.current().bus.publish(topic, packet.data, headers && { headers })) as T;
  }

  protected publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const { requester, options } = this.current();
    const topic = this.normalizePattern(packet.pattern);
    const target = { kind: 'group', group: qualify(options, commandGroup(options.exchange.name, topic)) } as const;
    const headers = headersOf(packet);
    const abort = new AbortController();
    const stream = requester.openStream(
      { topic, target, payload: packet.data, message: { signal: abort.signal, ...(headers && { headers }) } },
      {
        onReply: (reply) => {
          if (reply.kind === 'part') stream.take(); // nobody can tell an Observable's subscriber to wait
          callback(toPacket(reply));
        },
        onError: (err) => callback({ err }),
      },
      DEFAULTS.streamWindow,
    );
    return () => {
      stream.stop();
      abort.abort(new BusClosedError('wait for an answer'));
    };
  }

  private current(): Opened {
    if (this.opened) return this.opened;
    throw new ConfigurationError('EventBusClient is not connected yet: connect() comes first.');
  }

  private async open(): Promise<Opened> {
    this.making = this.make();
    const made = await this.making;
    try {
      await made.bus.prepare([]);
    } catch (error) {
      await made.bus.close();
      made.unfollow();
      throw error;
    }
    return made;
  }

  private async make(): Promise<Opened> {
    assertOptions(this.options);
    const startup = { mode: 'background', ...this.options.startup } as const;
    const made = await createEventBus({ ...this.options, startup }, { borrow: (own) => new BorrowedTransport(own) });
    const unfollow = followStatus(made.transport.connection, (status) => this._status$.next(status));
    return { ...made, unfollow, requester: createRequester(made) };
  }
}

function createRequester(made: MadeBus): Requester {
  const { transport, options, bus, logger } = made;
  return new Requester({
    transport,
    encoder: new MessageEncoder(encodingOf(made)),
    decoder: decoderOf(made),
    timeoutMs: options.request.timeoutMs,
    onAbandoned: new Cancellations(bus.control, logger).tell,
  });
}

/** Nest before 12 has no dispatch hook, and no metadata. */
function headersOf(packet: ReadPacket): ReturnType<typeof toMetadataHeaders> {
  return toMetadataHeaders((packet as { readonly metadata?: Readonly<Record<string, string>> }).metadata);
}

function toPacket({ kind, value }: Reply): WritePacket {
  if (kind === 'error') return { err: value || { status: 'error', message: 'The handler failed.' } };
  if (kind === 'end') return { isDisposed: true };
  return { response: value, isDisposed: kind === 'value' };
}

/** What the bus itself checks is left to it. */
function assertOptions(options: EventBusClientOptions): void {
  const problems: string[] = [];
  for (const name of ['consume', 'autoStart', 'inbox', 'globalEnhancers']) {
    if (name in options) problems.push(`${name} is for what consumes; EventBusClient only publishes.`);
  }
  if (options.startup?.policy !== undefined) {
    problems.push('startup.policy is for what consumes; EventBusClient only publishes.');
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
}
