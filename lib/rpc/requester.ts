import type { MessageDecoder } from '../bus/message-decoder.js';
import type { MessageEncoder, MessageOptions } from '../bus/message-encoder.js';
import { BusClosedError, ConnectionError, NoHandlerError, RequestTimeoutError } from '../core/errors.js';
import { IdSource } from '../core/id-source.js';
import type { Message } from '../core/message.js';
import type { ConnectionState, ReplyPath, Transport } from '../core/transport.js';
import { type Reply, replyKindOf } from './rpc.wire.js';

export interface RequesterOptions {
  readonly transport: Transport;
  readonly encoder: MessageEncoder;
  readonly decoder: MessageDecoder;
  /** How long an answer may take, and after it the next one. */
  readonly timeoutMs: number;
}

export interface Request {
  readonly topic: string;
  /** The queue, with the namespace. */
  readonly queue: string;
  readonly payload: unknown;
  readonly headers?: MessageOptions['headers'];
}

/** Is told everything about one request; nothing after `onReply` of the last answer, or after `onError`. */
export interface RequestEvents {
  onReply(reply: Reply): void;
  onError(error: unknown): void;
}

interface Pending {
  readonly topic: string;
  readonly events: RequestEvents;
  readonly abort: AbortController;
  timer: NodeJS.Timeout;
  /** Id of the last part. */
  part?: string;
}

/** Sends requests and finds for each answer the request to which it belongs. */
export class Requester {
  private readonly pending = new Map<string, Pending>();
  private readonly ids = new IdSource();
  private readonly unlisten: () => void;
  private path: Promise<ReplyPath> | undefined;
  private opened: ReplyPath | undefined;
  private readonly end = new AbortController();
  private isClosed = false;

  constructor(private readonly options: RequesterOptions) {
    const { connection } = options.transport;
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

  /** @returns stops waiting: nothing is told any more, and what was not sent yet is not sent */
  open(request: Request, events: RequestEvents): () => void {
    if (this.isClosed) {
      events.onError(new BusClosedError('ask'));
      return () => undefined;
    }
    const id = this.ids.next();
    const entry: Pending = {
      topic: request.topic,
      events,
      abort: new AbortController(),
      timer: this.startTimer(id, request.topic),
    };
    this.pending.set(id, entry);
    this.send(id, request, entry.abort.signal).catch((error: unknown) => this.take(id)?.events.onError(error));
    return () => this.take(id)?.abort.abort(new BusClosedError('wait for an answer'));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.unlisten();
    this.failAll(() => new BusClosedError('wait for an answer'));
    this.end.abort(new BusClosedError('wait for an answer')); // one that is not open yet is not waited for
    await this.opened?.close();
  }

  private async send(id: string, { topic, queue, payload, headers }: Request, signal: AbortSignal): Promise<void> {
    const { timeoutMs, encoder } = this.options;
    const path = await this.openPath();
    if (signal.aborted) return;
    const message = encoder.encode(topic, payload, {
      id,
      correlationId: id,
      replyTo: path.address,
      expiresInMs: timeoutMs,
      ...(headers && { headers }),
    });
    const { routed } = await path.publish({ kind: 'group', group: queue }, message, { timeoutMs, signal });
    if (!routed) throw new NoHandlerError(topic);
  }

  /** Opened with the first request; after a failure, with the next one. */
  private openPath(): Promise<ReplyPath> {
    if (!this.path) {
      const opening = this.startPath();
      opening.catch(() => {
        if (this.path === opening) this.path = undefined;
      });
      this.path = opening;
    }
    return this.path;
  }

  private async startPath(): Promise<ReplyPath> {
    const path = await this.options.transport.openReplies((message) => this.onReply(message), {
      onLost: () => {
        const ids = [...this.pending.keys()];
        setImmediate(() => this.failAll(lost, ids)); // of one of them more may be known, which comes first
      },
      isAwaited: () => this.pending.size > 0,
      signal: this.end.signal,
    });
    if (this.isClosed) await path.close();
    else this.opened = path;
    return path;
  }

  private onReply(message: Message): void {
    const { correlationId: id = '' } = message;
    const entry = this.pending.get(id);
    const kind = replyKindOf(message);
    if (!entry || kind === undefined) return; // too late, or not for us
    let reply: Reply;
    try {
      reply = kind === 'end' ? { kind } : { kind, value: this.options.decoder.decode(message) };
    } catch (error) {
      this.take(id)?.events.onError(error);
      return;
    }
    if (kind === 'part') {
      if (message.id !== '' && message.id === entry.part) return; // sent again, because its confirm was lost
      entry.part = message.id;
      clearTimeout(entry.timer);
      entry.timer = this.startTimer(id, entry.topic);
    } else this.take(id);
    entry.events.onReply(reply);
  }

  private startTimer(id: string, topic: string): NodeJS.Timeout {
    const { timeoutMs } = this.options;
    return setTimeout(() => {
      const entry = this.take(id);
      entry?.abort.abort(new RequestTimeoutError(topic, timeoutMs));
      entry?.events.onError(new RequestTimeoutError(topic, timeoutMs));
    }, timeoutMs);
  }

  private take(id: string): Pending | undefined {
    const entry = this.pending.get(id);
    if (!entry) return undefined;
    this.pending.delete(id);
    clearTimeout(entry.timer);
    return entry;
  }

  private failAll(why: () => Error, ids: Iterable<string> = [...this.pending.keys()]): void {
    for (const id of ids) {
      const entry = this.take(id);
      const error = why();
      entry?.abort.abort(error);
      entry?.events.onError(error);
    }
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
