import { Deque } from '../core/deque.js';
import type { Signals } from './abortable-answer.js';
import type { OpenStream, RequestEvents } from './request.js';
import type { Reply } from './rpc.wire.js';
import { SharedSignals } from './shared-signals.js';

interface Reader<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

/**
 * What comes in answer to a request, for a `for await` loop, or for `from` of rxjs.
 *
 * @publicApi
 */
export interface ReplyStream<T> extends AsyncIterableIterator<T> {
  /** Sends the request when it is called first. */
  next(): Promise<IteratorResult<T, undefined>>;
  /** Stops reading, and the handler: what leaving a loop calls. */
  return(): Promise<IteratorResult<T, undefined>>;
  [Symbol.asyncIterator](): ReplyStream<T>;
}

/** Sends the request. What is wrong with it is thrown, or told as everything else; an error of the handler by `onError`. */
export type StartStream = (events: RequestEvents) => Promise<OpenStream>;

/**
 * The parts of one answer, for a `for await` loop. Nothing is sent before the first one is asked for; what has come is given before
 * an error is; leaving the loop tells whoever answers to stop.
 */
export class ReplyReader<T> implements ReplyStream<T> {
  private readonly parts = new Deque<{ readonly value: T }>();
  private readonly readers = new Deque<Reader<T>>();
  private stream: OpenStream | undefined;
  private hasBegun = false;
  /** Nothing more comes. */
  private isOver = false;
  private failure: { readonly error: unknown } | undefined;

  constructor(
    private readonly start: StartStream,
    private readonly signals: Signals = [],
    private readonly shared = new SharedSignals(),
  ) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (!this.hasBegun) this.begin();
    const part = this.parts.shift();
    if (part) {
      this.stream?.take();
      return Promise.resolve({ done: false, value: part.value });
    }
    if (!this.isOver) return new Promise((resolve, reject) => this.readers.push({ resolve, reject }));
    const { failure } = this;
    this.failure = undefined; // told once, as a generator does
    return failure ? Promise.reject(failure.error) : Promise.resolve({ done: true, value: undefined });
  }

  /** Reads nothing more; what has come is forgotten. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.hasBegun = true;
    this.stopReading(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  private begin(): void {
    this.hasBegun = true;
    const { aborted } = this;
    if (aborted) {
      this.end({ error: aborted.reason });
      return;
    }
    for (const signal of this.signals) this.shared.add(signal, this.onAbort);
    this.start({ onReply: (reply) => this.onReply(reply), onError: (error) => this.end({ error }) }).then(
      (stream) => {
        if (this.isOver) stream.stop();
        this.stream = stream;
      },
      (error: unknown) => this.end({ error }),
    );
  }

  private onReply(reply: Reply): void {
    if (reply.kind === 'end') this.end(undefined);
    else this.add(reply);
  }

  private add({ kind, value }: Reply): void {
    const reader = this.readers.shift();
    if (reader) {
      this.stream?.take();
      reader.resolve({ done: false, value: value as T });
    } else this.parts.push({ value: value as T });
    if (kind === 'value') this.end(undefined);
  }

  /** The first reader that waits is told why, the others that it is over. */
  private end(failure: { readonly error: unknown } | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const signal of this.signals) this.shared.remove(signal, this.onAbort);
    const [first, ...rest] = this.readers.drain();
    if (first && failure) first.reject(failure.error);
    else {
      this.failure = failure;
      first?.resolve({ done: true, value: undefined });
    }
    for (const reader of rest) reader.resolve({ done: true, value: undefined });
  }

  private stopReading(failure: { readonly error: unknown } | undefined): void {
    this.parts.drain();
    this.failure = undefined;
    this.end(failure);
    this.stream?.stop();
  }

  private get aborted(): AbortSignal | undefined {
    return this.signals.find(({ aborted }) => aborted);
  }

  private readonly onAbort = (): void => this.stopReading({ error: this.aborted?.reason });
}
