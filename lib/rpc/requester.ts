import type { MessageDecoder } from '../bus/message-decoder.js';
import type { MessageEncoder, MessageOptions } from '../bus/message-encoder.js';
import { BusClosedError, ConnectionError, NoHandlerError, RequestTimeoutError } from '../core/errors.js';
import { IdSource } from '../core/id-source.js';
import { DEFAULTS } from '../core/limits.js';
import type { Message } from '../core/message.js';
import type {
  ConnectionState,
  ReplyPath,
  Routed,
  Target,
  Transport,
  TransportPublishOptions,
} from '../core/transport.js';
import { LazyReplyPath } from './lazy-reply-path.js';
import { decodeReply } from './reply.decoder.js';
import { ReplyFlow } from './reply-flow.js';
import type { OpenStream, Request, RequestEvents } from './request.js';
import { type Reply, type ReplyKind, replyKindOf, type SignalKind } from './rpc.wire.js';
import { SignalSender } from './signal-sender.js';

/** Hands a request over, with what stands around each publish. */
export type SendRequest = (
  path: ReplyPath,
  target: Target,
  message: Message,
  options: TransportPublishOptions,
) => Promise<Routed>;

export interface RequesterOptions {
  readonly transport: Transport;
  readonly encoder: MessageEncoder;
  readonly decoder: MessageDecoder;
  /** How long an answer may take, and after it the next one, for requests that do not say. */
  readonly timeoutMs: number;
  /** Default: by the path alone. */
  readonly send?: SendRequest | undefined;
  /** Told of a request for whose answer nobody waits any more, although its handler may run. Must not throw. */
  readonly onAbandoned?: (requestId: string) => void;
  /** How often whoever answers in parts is told that somebody still reads. */
  readonly beatMs?: number;
}

interface Pending {
  readonly topic: string;
  readonly timeoutMs: number;
  /** What `timer` waits for: less than `timeoutMs` for the first answer, if whoever asks has less time. */
  waitMs: number;
  readonly events: RequestEvents;
  /** Until when its first answer is waited for. */
  readonly endsAt: number;
  timer: NodeJS.Timeout | undefined;
  /** Whether the broker may have it. */
  isSent: boolean;
  /** Of one whose answer may come in parts. */
  readonly flow: ReplyFlow | undefined;
  /** Id of the last part. */
  part?: string;
}

/** Sends requests and finds for each answer the request to which it belongs. */
export class Requester {
  private readonly pending = new Map<string, Pending>();
  private readonly ids = new IdSource();
  private readonly signals: SignalSender;
  private readonly unlisten: () => void;
  private readonly path: LazyReplyPath;
  private timer: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(private readonly options: RequesterOptions) {
    const { connection } = options.transport;
    this.signals = new SignalSender(options.transport, options.timeoutMs);
    this.path = new LazyReplyPath(options.transport, (message) => this.onReply(message), {
      onLost: () => {
        const ids = [...this.pending.keys()];
        setImmediate(() => this.failAll(lost, ids)); // of one of them more may be known, which comes first
      },
      isAwaited: () => this.pending.size > 0,
    });
    let wasUp = isUp(connection.state);
    this.unlisten = connection.onStateChange((state) => {
      // answers go to an address that dies with the connection
      if (wasUp && !isUp(state)) this.failAll(lost);
      wasUp = isUp(state);
    });
  }

  /** How many wait for an answer. */
  get size(): number {
    return this.pending.size;
  }

  /**
   * Sends a request. What is wrong with it is told by `onError`, as everything else.
   *
   * @returns its id, for `abandon`
   */
  open(request: Request, events: RequestEvents): string {
    const id = this.ids.next();
    this.begin(id, request, events);
    return id;
  }

  /** Nobody waits any more: nothing is told, and what was not sent yet is not sent. It may be answered all the same. */
  abandon(id: string): void {
    const entry = this.take(id);
    if (!entry?.isSent) return;
    if (entry.flow?.address === undefined) this.options.onAbandoned?.(id);
    else this.signal('cancel', id, entry.flow);
  }

  /**
   * Sends a request whose answer may come in parts.
   *
   * @param window how many parts may come before one of them has been taken
   */
  openStream(request: Request, events: RequestEvents, window: number): OpenStream {
    const id = this.ids.next();
    const flow = new ReplyFlow(id, request.topic, window);
    this.begin(id, request, events, flow);
    if (this.pending.has(id)) this.timer ??= this.startBeat();
    return { take: () => this.onTaken(id, flow), stop: () => this.abandon(id) };
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.unlisten();
    clearTimeout(this.timer);
    this.failAll(() => new BusClosedError('wait for an answer'));
    await this.path.close(new BusClosedError('wait for an answer'));
  }

  private begin(id: string, request: Request, events: RequestEvents, flow?: ReplyFlow): void {
    if (this.isClosed) {
      events.onError(new BusClosedError('ask'));
      return;
    }
    const { topic, timeoutMs = this.options.timeoutMs, startMs = timeoutMs } = request;
    const timer = this.startTimer(id, topic, startMs);
    const endsAt = Date.now() + startMs;
    const entry: Pending = { topic, timeoutMs, waitMs: startMs, events, endsAt, timer, isSent: false, flow };
    this.pending.set(id, entry);
    const path = this.path.get();
    if (path instanceof Promise) {
      path.then(
        (opened) => this.send(id, entry, request, opened),
        (error: unknown) => this.fail(id, error),
      );
    } else this.send(id, entry, request, path);
  }

  /** Never throws. */
  private send(id: string, entry: Pending, request: Request, path: ReplyPath): void {
    if (!this.pending.has(id)) return;
    const { target, message } = request;
    // what the way back has taken is gone: it must not be started when nobody waits any more
    const leftMs = Math.max(1, entry.endsAt - Date.now());
    const limits: TransportPublishOptions =
      message?.signal === undefined ? { timeoutMs: leftMs } : { timeoutMs: leftMs, signal: message.signal };
    try {
      const encoded = this.encode(id, entry, request, path.address, leftMs);
      const { send } = this.options;
      entry.isSent = true;
      const sent = send ? send(path, target, encoded, limits) : path.publish(target, encoded, limits);
      sent.then(
        ({ routed }) => {
          if (!routed) this.fail(id, new NoHandlerError(entry.topic));
        },
        (error: unknown) => this.fail(id, error),
      );
    } catch (error) {
      this.fail(id, error);
    }
  }

  private encode(id: string, { flow }: Pending, request: Request, replyTo: string, expiresInMs: number): Message {
    const { topic, payload, definition, message } = request;
    const options: MessageOptions = flow
      ? { id, type: topic, ...message, requestId: id, replyTo, expiresInMs, credit: flow.limit }
      : { id, type: topic, ...message, requestId: id, replyTo, expiresInMs };
    return this.options.encoder.encode(topic, payload, options, definition);
  }

  private onReply(message: Message): void {
    const { correlationId: id = '', replyTo } = message;
    const entry = this.pending.get(id);
    const kind = replyKindOf(message);
    if (!entry || kind === undefined) {
      // too late, or not for us: whoever goes on answering in parts is told so
      if (kind === 'part' && replyTo !== undefined) this.signals.send('cancel', replyTo, id);
      return;
    }
    let reply: Reply;
    try {
      if (!this.isNext(entry, kind, message)) return;
      reply =
        kind === 'end' ? { kind } : { kind, value: decodeReply(this.options.decoder, entry.topic, kind, message) };
    } catch (error) {
      if (replyTo !== undefined && replyTo !== entry.flow?.address) this.signals.send('cancel', replyTo, id);
      this.fail(id, error);
      return;
    }
    this.tell(id, entry, reply);
  }

  /** @throws StreamBrokenError when parts before it are missing */
  private isNext(entry: Pending, kind: ReplyKind, message: Message): boolean {
    if (entry.flow && !entry.flow.isNext(kind, message)) return false;
    if (kind !== 'part') return true;
    if (message.id !== '' && message.id === entry.part) return false; // sent again, because its confirm was lost
    entry.part = message.id;
    return true;
  }

  private tell(id: string, entry: Pending, reply: Reply): void {
    if (reply.kind !== 'part') this.take(id);
    else if (!entry.flow || entry.flow.isAwaited) this.waitOn(id, entry);
    else {
      clearTimeout(entry.timer);
      entry.timer = undefined;
    }
    entry.events.onReply(reply);
  }

  /** For the next part. */
  private waitOn(id: string, entry: Pending): void {
    const { topic, timeoutMs, waitMs, timer } = entry;
    if (waitMs === timeoutMs) {
      timer?.refresh();
      return;
    }
    clearTimeout(timer);
    entry.waitMs = timeoutMs;
    entry.timer = this.startTimer(id, topic, timeoutMs);
  }

  private onTaken(id: string, flow: ReplyFlow): void {
    const entry = this.pending.get(id);
    if (!entry || !flow.take()) return;
    this.signal('more', id, flow);
    entry.timer ??= this.startTimer(id, entry.topic, entry.timeoutMs);
  }

  private startTimer(id: string, topic: string, timeoutMs: number): NodeJS.Timeout {
    return setTimeout(() => this.fail(id, new RequestTimeoutError(topic, timeoutMs)), timeoutMs);
  }

  /** One timer for all streams, while there are any. */
  private readonly onBeat = (): void => {
    this.timer = undefined;
    for (const [id, { flow, topic, timeoutMs }] of this.pending) {
      if (!flow) continue;
      if (flow.isForgotten()) this.fail(id, new RequestTimeoutError(topic, timeoutMs));
      else this.signal('more', id, flow);
      this.timer ??= this.startBeat();
    }
  };

  private startBeat(): NodeJS.Timeout {
    return setTimeout(this.onBeat, this.options.beatMs ?? DEFAULTS.streamBeatMs).unref();
  }

  private signal(kind: SignalKind, id: string, { address, limit }: ReplyFlow): void {
    if (address !== undefined) this.signals.send(kind, address, id, kind === 'more' ? limit : undefined);
  }

  private fail(id: string, error: unknown): void {
    const { flow, events } = this.take(id) ?? {};
    if (flow) this.signal('cancel', id, flow);
    events?.onError(error);
  }

  private take(id: string): Pending | undefined {
    const entry = this.pending.get(id);
    if (!entry) return undefined;
    this.pending.delete(id);
    clearTimeout(entry.timer);
    entry.timer = undefined;
    return entry;
  }

  private failAll(why: () => Error, ids: Iterable<string> = [...this.pending.keys()]): void {
    for (const id of ids) this.fail(id, why());
  }
}

function isUp(state: ConnectionState): boolean {
  return state === 'up' || state === 'blocked';
}

function lost(): Error {
  return new ConnectionError(
    'The connection to the broker was lost while a request was under way: its answer cannot come any more, and it may have been handled.',
  );
}
