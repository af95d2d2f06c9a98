import { setMaxListeners } from 'node:events';
import { withDeadline } from '../core/deadline.js';
import { ACK, type Delivery } from '../core/delivery.js';
import { BusClosedError, ConnectionError } from '../core/errors.js';
import type { Binding, Exchange } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import { LIMITS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { ConsumeEvents, Source, Transport } from '../core/transport.js';
import { FanoutExchange } from '../exchanges/fanout.exchange.js';
import { JsonSerializer } from '../serializers/json.serializer.js';
import { ControlExchange } from './control-exchange.js';
import { ControlQueue } from './control-queue.js';
import { assertKind, CONTROL_TOPIC, type ControlBody, READY_TOPIC, readControl } from './control-wire.js';
import type { EventBusParts } from './event-bus.parts.js';
import { MessageEncoder } from './message-encoder.js';
import { qualify } from './resolved-options.js';

/** Types of which one topic can be had, and nothing else. */
const SINGLED_OUT: readonly string[] = ['topic', 'direct'];
const PREFETCH = 100;
const CLOSE_MS = 1_000;

/** Is told everything that comes, what other features say included. Must not throw. */
export interface ControlListener {
  /** @param body anybody may have written it: JSON within the limits, and nothing more is known of it */
  onMessage(kind: string, body: ControlBody, message: Message): void;
  /** Something may have been missed: the connection was lost. */
  onGap?(): void;
}

export interface ControlSendOptions {
  /** Bound for the whole, in milliseconds. Default: `publish.timeoutMs`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ControlListenOptions {
  /** How long to wait for the connection, in milliseconds. Default: `startup.timeoutMs`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Hears what comes by these bindings, in a queue of its own, and nothing else. Default: the channel's own exchange. */
  readonly on?: readonly [Binding, ...Binding[]];
}

export interface ControlChannelOptions {
  readonly transport: Transport;
  /** A fanout. */
  readonly exchange: Exchange;
  /** By which those are heard as well who know no such channel. */
  readonly also: readonly Binding[];
  readonly service: string | undefined;
  /** Prefix of the names of queues. */
  readonly owner: string;
  readonly deadLetterGroup: string;
  /** Default bound for `listen`. */
  readonly timeoutMs: number;
  /** Default bound for `send`. */
  readonly publishTimeoutMs: number;
  /** How long those who say goodbye may take. */
  readonly farewellMs: number;
  readonly logger: BusLogger;
}

interface Entry {
  readonly listener: ControlListener;
  isFaulty: boolean;
}

/** A queue, and who hears what comes to it: a message comes more often than a listener. */
interface Room {
  readonly queue: ControlQueue;
  readonly entries: Set<Entry>;
}

/**
 * What the instances on one main exchange tell each other, always in JSON, whatever the bus's exchange and serializer are. Not
 * kept for anybody: who does not listen misses it. Declares and consumes nothing until somebody sends or listens.
 */
export class ControlChannel {
  private readonly rooms = new Set<Room>();
  private readonly departures: (() => unknown)[] = [];
  private readonly encoder: MessageEncoder;
  private readonly exchange: ControlExchange;
  private readonly end = new AbortController();
  /** Of all who hear the channel's own exchange. */
  private common: Room | undefined;
  private departing: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private malformed = 0;

  constructor(private readonly options: ControlChannelOptions) {
    const { service, transport, exchange } = options;
    setMaxListeners(0, this.end.signal); // everybody who waits listens to it
    this.exchange = new ControlExchange(transport, this.source([{ exchange }]), exchange.name);
    this.encoder = new MessageEncoder({
      service,
      serializer: new JsonSerializer(),
      maxMessageBytes: LIMITS.controlBytes,
      maxDepth: LIMITS.chainDepth,
    });
  }

  /** Messages that could not be read. */
  get ignored(): number {
    return this.malformed;
  }

  /**
   * Tells every instance that listens, this one too. Resolves when the broker has taken it, whether or not anybody listens.
   *
   * @throws ConfigurationError for a kind that is none, MessageTooLargeError, ValidationError for a body that is no JSON,
   *   ConnectionError, TopologyConflictError of the exchange, BusClosedError, and all with which a publish rejects
   */
  async send(kind: string, body: ControlBody, options: ControlSendOptions = {}): Promise<void> {
    if (this.end.signal.aborted) throw new BusClosedError('send'); // those who say goodbye still may while it closes
    assertKind(kind);
    const { transport, exchange, publishTimeoutMs } = this.options;
    const { timeoutMs = publishTimeoutMs, signal } = options;
    const until = performance.now() + timeoutMs;
    const message = this.encoder.encode(CONTROL_TOPIC, { ...body, kind }, { type: kind });
    await this.exchange.stand(timeoutMs, () => this.until(signal));
    await transport.publish({ kind: 'exchange', exchange }, message, {
      timeoutMs: Math.max(1, until - performance.now()),
      onFull: 'wait',
      ...(signal && { signal }),
    });
  }

  /**
   * Hears everything from now on. All listeners share one private queue, which is there while there is one of them.
   *
   * @returns stops listening; resolves when what was opened for it is closed, and never rejects
   * @throws ConnectionError when the broker cannot be reached in time, TopologyConflictError, BusClosedError, and the reason of
   *   the signal
   */
  async listen(
    listener: ControlListener,
    { timeoutMs = this.options.timeoutMs, signal, on }: ControlListenOptions = {},
  ): Promise<() => Promise<void>> {
    if (this.departing || this.closing) throw new BusClosedError('listen');
    signal?.throwIfAborted();
    const entry: Entry = { listener, isFaulty: false };
    const room = on ? this.open(on) : this.shared();
    room.entries.add(entry);
    const leave = (): Promise<void> => this.leave(entry, room);
    const late = (): Error =>
      new ConnectionError(
        `The broker could not be reached within ${timeoutMs} ms; not listening to the other instances.`,
      );
    try {
      await withDeadline(room.queue.opened, timeoutMs, late, this.until(signal));
    } catch (error) {
      await leave();
      throw error;
    }
    return leave;
  }

  /** Called, and awaited for a moment, when the bus begins to stop, while everything can still be sent. */
  onDeparture(goodbye: () => unknown): void {
    this.departures.push(goodbye);
  }

  /** Has everybody say goodbye; from then on nobody can begin to listen. Idempotent, bounded, never rejects. */
  depart(): Promise<void> {
    this.departing ??= this.sayGoodbye();
    return this.departing;
  }

  /** Stops everything. Idempotent, never rejects. */
  close(deadlineMs: number = CLOSE_MS): Promise<void> {
    this.closing ??= this.shutDown(deadlineMs);
    return this.closing;
  }

  private async sayGoodbye(): Promise<void> {
    const { farewellMs, logger } = this.options;
    const said = this.departures.map(async (goodbye) => goodbye());
    const late = (): Error => new BusClosedError('wait longer');
    try {
      await withDeadline(Promise.all(said), farewellMs, late);
    } catch (error) {
      logger.warn(`The other instances may not know that this one stops: ${describeError(error)}`);
    }
  }

  private async shutDown(deadlineMs: number): Promise<void> {
    await this.depart();
    this.end.abort(new BusClosedError('listen'));
    const rooms = [...this.rooms];
    this.common = undefined;
    this.rooms.clear();
    for (const { entries } of rooms) entries.clear();
    await Promise.all(rooms.map(({ queue }) => queue.close(Math.min(CLOSE_MS, deadlineMs))));
  }

  private shared(): Room {
    if (this.common) return this.common;
    const { exchange, also } = this.options;
    const room = this.open([{ exchange }, ...also]);
    room.queue.opened.catch(() => {
      // whoever listens next tries again
      if (this.common === room) this.common = undefined;
    });
    this.common = room;
    return room;
  }

  private async leave(entry: Entry, room: Room): Promise<void> {
    if (!room.entries.delete(entry) || room.entries.size > 0) return;
    this.rooms.delete(room);
    if (this.common === room) this.common = undefined;
    await room.queue.close(CLOSE_MS);
  }

  private open(bindings: readonly [Binding, ...Binding[]]): Room {
    const entries = new Set<Entry>();
    let isStrange = false;
    const events: ConsumeEvents = {
      deliver: (delivery) => {
        if (this.deliver(delivery, entries)) return;
        if (!isStrange) this.warnOf(bindings[0].exchange);
        isStrange = true;
      },
      gap: () => this.tell(entries, (listener) => listener.onGap?.()),
    };
    const room = { queue: new ControlQueue(this.options.transport, this.source(bindings), events), entries };
    this.rooms.add(room);
    return room;
  }

  private source(bindings: readonly Binding[]): Source {
    const { owner, deadLetterGroup } = this.options;
    return { bindings, owner, deadLetterGroup, prefetch: PREFETCH };
  }

  /** @returns false for what cannot be read */
  private deliver(delivery: Delivery, hearers: ReadonlySet<Entry>): boolean {
    const said = readControl(delivery);
    if (said) this.tell(hearers, (listener) => listener.onMessage(said.kind, said.body, delivery.message));
    else this.malformed++;
    // it never fails for us, and would not be better the next time; the transport owns the outcome
    void delivery.settle(ACK);
    return said !== undefined;
  }

  private tell(hearers: ReadonlySet<Entry>, what: (listener: ControlListener) => void): void {
    for (const entry of hearers) {
      try {
        what(entry.listener);
      } catch (error) {
        if (!entry.isFaulty)
          this.options.logger.error(`A listener to the other instances failed: ${describeError(error)}`);
        entry.isFaulty = true;
      }
    }
  }

  private warnOf({ name }: Exchange): void {
    this.options.logger.warn(
      `A message on "${name}" cannot be read and is ignored, as is everything like it from now on: what instances tell each other is JSON.`,
    );
  }

  private until(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([this.end.signal, signal]) : this.end.signal;
  }
}

/** The channel of a bus. */
export function controlChannelOf({ options, exchange, transport, logger }: EventBusParts): ControlChannel {
  const { service, startup, publish, shutdown } = options;
  const owner = qualify(options, service ?? 'app');
  return new ControlChannel({
    transport,
    exchange: { name: qualify(options, `${options.exchange.name}.control`), handler: new FanoutExchange() },
    also: SINGLED_OUT.includes(exchange.type)
      ? [{ exchange: { name: qualify(options, options.exchange.name), handler: exchange }, pattern: READY_TOPIC }]
      : [],
    service,
    owner: `${owner}.control`,
    deadLetterGroup: `${owner}.broadcast`,
    timeoutMs: startup.timeoutMs,
    publishTimeoutMs: publish.timeoutMs,
    farewellMs: Math.min(CLOSE_MS, shutdown.deadlineMs / 5),
    logger,
  });
}
