import { Deque } from './deque.js';
import { BusClosedError, PublishRejectedError } from './errors.js';
import type { Linked } from './linked-list.js';
import type { Message } from './message.js';
import type { OnFailed, Returned, Routed, Target, TransportPublishOptions } from './transport.js';

export interface BacklogOptions {
  readonly timeoutMs: number;
  /** Messages that may wait beyond the window. */
  readonly messages: number;
  readonly bytes: number;
  readonly onFull: 'reject' | 'wait';
}

/** How often deadlines are looked at: one timer for all publishes instead of one for each. */
const SWEEP_MS = 100;

/** One publish from call to settlement. Settles once; whoever comes later is ignored. */
export class Outgoing<T = Target> implements Linked {
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  /** Whether it is in the list of what is with the broker. */
  isInFlight = false;
  /** Set when the broker returned it: no group was bound. */
  returned: Returned | undefined = undefined;
  /** Whether its bytes were handed to the broker at least once. */
  sent = false;
  /** Whether it was in flight when the broker closed the channel. */
  isSuspect = false;
  private isSettled = false;
  private onAbort: (() => void) | undefined;

  constructor(
    readonly target: T,
    readonly message: Message,
    readonly timeoutMs: number,
    readonly deadline: number,
    private readonly signal: AbortSignal | undefined,
    private readonly onSettled: () => void,
    private readonly onResolve: (routed: Routed) => void,
    private readonly onReject: OnFailed,
  ) {
    if (signal) {
      this.onAbort = () => this.reject(signal.reason);
      signal.addEventListener('abort', this.onAbort, { once: true });
    }
  }

  get settled(): boolean {
    return this.isSettled;
  }

  resolve(routed: Routed): void {
    if (this.finish()) this.onResolve(routed);
  }

  reject(error: unknown): void {
    if (this.finish()) this.onReject(error, this.message);
  }

  /** Takes it back: nobody is told anything. */
  discard(): void {
    this.finish();
  }

  private finish(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    if (this.onAbort) this.signal?.removeEventListener('abort', this.onAbort);
    this.onSettled();
    return true;
  }
}

/**
 * Publishes that wait for the broker: bounded by number and bytes, in order, each with a deadline. A transport takes
 * from the front what it can send and puts back what a lost connection left unconfirmed.
 */
export class PublishBacklog<T = Target> {
  private readonly waiting = new Deque<Outgoing<T>>();
  private unsettled = 0;
  private waitingBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private closedFor: string | undefined;

  /**
   * @param sent what the transport has taken and not settled yet
   * @param timeoutError the error for a publish whose deadline has passed; the transport knows why it waited
   * @param onGivenUp told of each publish that was sent and will not be waited for any longer
   */
  constructor(
    private readonly options: BacklogOptions,
    private readonly sent: Iterable<Outgoing<T>>,
    private readonly timeoutError: (outgoing: Outgoing<T>) => Error,
    private readonly onGivenUp?: (outgoing: Outgoing<T>) => void,
  ) {}

  /** Publishes that wait to be sent. */
  get size(): number {
    return this.waiting.size;
  }

  get bytes(): number {
    return this.waitingBytes;
  }

  /** Publishes not settled yet, waiting or sent. */
  get pending(): number {
    return this.unsettled;
  }

  /**
   * Takes a publish in.
   *
   * @param room how many messages could be sent right away
   */
  add(target: T, message: Message, options: TransportPublishOptions | undefined, room: number): Promise<Routed> {
    const { signal } = options ?? {};
    if (this.closedFor !== undefined) return Promise.reject(new BusClosedError(this.closedFor));
    if (signal?.aborted) return Promise.reject(signal.reason);
    const beyond = this.waiting.size - room;
    if (beyond >= 0 && (options?.onFull ?? this.options.onFull) === 'reject') {
      const { messages, bytes } = this.options;
      if (beyond >= messages || this.waitingBytes + message.body.byteLength > bytes) {
        return Promise.reject(
          new PublishRejectedError(
            `The publish buffer is full (${messages} messages, ${bytes} bytes). Await publish(), use publishAll(), or raise publish.buffer.`,
            {},
            'BUFFER_FULL',
          ),
        );
      }
    }
    return new Promise<Routed>((resolve, reject) => {
      const timeoutMs = options?.timeoutMs ?? this.options.timeoutMs;
      this.waiting.push(this.begin(target, message, timeoutMs, signal, resolve, reject));
      this.waitingBytes += message.body.byteLength;
    });
  }

  /** Takes in one that is sent right away, and of which nobody waits to hear that it was taken. */
  track(target: T, message: Message, timeoutMs: number, onFailed: OnFailed): Outgoing<T> {
    return this.begin(target, message, timeoutMs, undefined, ignore, onFailed);
  }

  /** The next publish that still waits for an answer; it stays. */
  peek(): Outgoing<T> | undefined {
    for (let next = this.waiting.peek(); next?.settled; next = this.waiting.peek()) {
      this.waiting.shift();
      this.waitingBytes -= next.message.body.byteLength;
    }
    return this.waiting.peek();
  }

  /** The next publish that still waits for an answer. */
  shift(): Outgoing<T> | undefined {
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) {
      this.waitingBytes -= next.message.body.byteLength;
      if (!next.settled) return next;
    }
    return undefined;
  }

  /** Whether nothing is taken in any more. */
  get isClosed(): boolean {
    return this.closedFor !== undefined;
  }

  /** Puts back what was sent but not confirmed, in its order, before everything else. */
  putBack(sent: readonly Outgoing<T>[]): void {
    for (const outgoing of sent.toReversed()) {
      if (outgoing.settled) continue;
      outgoing.returned = undefined;
      this.waiting.unshift(outgoing);
      this.waitingBytes += outgoing.message.body.byteLength;
    }
  }

  /** Refuses new publishes from now on; those taken in still count. */
  stop(): void {
    this.closedFor ??= 'publish';
  }

  /** Resolves when nothing is pending any more, or after `ms`. */
  async settle(ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (this.unsettled > 0 && Date.now() < end) {
      await new Promise<void>((resolve) => setTimeout(resolve, Math.min(10, Math.max(1, end - Date.now()))));
    }
  }

  /** Rejects everything that is waiting or sent. */
  rejectAll(errorOf: (outgoing: Outgoing<T>) => Error): void {
    for (const outgoing of [...this.sent, ...this.waiting.drain()]) outgoing.reject(errorOf(outgoing));
    this.waitingBytes = 0;
  }

  /** Takes nothing more, and rejects everything that is left. */
  close(errorOf: (outgoing: Outgoing<T>) => Error): void {
    this.stop();
    this.rejectAll(errorOf);
    if (this.timer) clearInterval(this.timer);
    this.timer = undefined;
  }

  private begin(
    target: T,
    message: Message,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    onResolve: (routed: Routed) => void,
    onReject: OnFailed,
  ): Outgoing<T> {
    const deadline = Date.now() + timeoutMs;
    const { settled } = this;
    const outgoing = new Outgoing<T>(target, message, timeoutMs, deadline, signal, settled, onResolve, onReject);
    this.unsettled++;
    this.timer ??= setInterval(this.sweep, SWEEP_MS);
    return outgoing;
  }

  private readonly settled = (): void => {
    this.unsettled--;
  };

  private readonly sweep = (): void => {
    if (this.unsettled === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    const now = Date.now();
    const expire = (outgoing: Outgoing<T>): void => {
      if (outgoing.deadline <= now) outgoing.reject(this.timeoutError(outgoing));
    };
    for (const outgoing of [...this.sent]) {
      expire(outgoing);
      if (outgoing.settled) this.onGivenUp?.(outgoing);
    }
    // what has its answer must not take up room
    for (const outgoing of this.waiting.drain()) {
      expire(outgoing);
      if (outgoing.settled) this.waitingBytes -= outgoing.message.body.byteLength;
      else this.waiting.push(outgoing);
    }
  };
}

function ignore(): void {
  // it was taken
}
