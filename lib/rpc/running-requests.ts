import { HandlerTimeoutError, RequestCancelledError, RequestTimeoutError } from '../core/errors.js';
import { type Linked, LinkedList } from '../core/linked-list.js';
import type { Message } from '../core/message.js';
import { requestIdOf } from './rpc.wire.js';

/** What a running request can be told. */
export interface Abortable {
  readonly aborted: boolean;
  abort(reason: unknown): void;
}

/** A request that is handled here: the key to tell of it. */
export class RunningRequest implements Linked {
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  readonly topic: string;
  readonly expiresAt: number | undefined;
  /** Whether a part of its answer is on its way: then each part has a time of its own. */
  hasBegun = false;

  /** @param subject undefined once it has ended: what has left a Map lives on in V8 until all garbage is collected, and must not hold much */
  constructor(
    readonly id: string,
    { topic, expiresAt }: Message,
    public subject: Abortable | undefined,
  ) {
    this.topic = topic;
    this.expiresAt = expiresAt;
  }

  isLate(now: number): boolean {
    return !this.hasBegun && this.expiresAt !== undefined && this.expiresAt <= now;
  }

  abort(reason: unknown): void {
    if (this.subject && !this.subject.aborted) this.subject.abort(reason);
  }
}

/** How late a handler may learn that the time of its request is over, in milliseconds. */
const TICK_MS = 50;
/** Requests that were cancelled before they came here: so many are remembered, and so long. */
const REMEMBERED = 10_000;
const REMEMBERED_MS = 60_000;
/** Longer than the ids of any bus: anybody may tell of others. */
const ID_LENGTH = 128;

/** Whether a request was aborted for a reason that would be the same elsewhere. */
export function isForGood(reason: unknown): boolean {
  return [HandlerTimeoutError, RequestTimeoutError, RequestCancelledError].some((type) => reason instanceof type);
}

/** The requests that are handled here: aborted when their time is over, or when nobody waits any more. */
export class RunningRequests {
  private readonly running = new LinkedList<RunningRequest>();
  /** Other clients may give several requests one id: then the latest has it, and all have their deadlines. */
  private readonly byId = new Map<string, RunningRequest>();
  /** Ids with the time until which they count; the oldest first. */
  private readonly cancelled = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  /** @returns its key; undefined when nobody waits for it any more */
  enter(subject: Abortable, message: Message): RunningRequest | undefined {
    const id = requestIdOf(message);
    if (this.isOver(id, message)) return undefined;
    const running = new RunningRequest(id, message, subject);
    this.running.add(running);
    this.byId.set(id, running);
    if (message.expiresAt !== undefined) this.timer ??= setTimeout(this.check, TICK_MS).unref();
    return running;
  }

  /** It has ended. One that came again meanwhile, because the delivery of this one was lost, goes on. */
  leave(running: RunningRequest): void {
    if (!running.subject) return;
    running.subject = undefined;
    this.running.remove(running);
    if (this.byId.get(running.id) === running) this.byId.delete(running.id);
  }

  /** Nobody waits any more; also told of what others handle, and of what has not come yet. */
  cancel(id: string): void {
    const running = this.byId.get(id);
    if (running) {
      running.abort(new RequestCancelledError(running.topic));
      return;
    }
    if (id.length > ID_LENGTH) return;
    const now = Date.now();
    for (const [old, until] of this.cancelled) {
      if (until > now && this.cancelled.size < REMEMBERED) break;
      this.cancelled.delete(old);
    }
    this.cancelled.set(id, now + REMEMBERED_MS);
  }

  /** It cannot go on here, and when it comes again it must not begin again: what came of it has been told. */
  giveUp(running: RunningRequest): void {
    this.leave(running);
    this.cancel(running.id);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private isOver(id: string, { expiresAt }: Message): boolean {
    if (expiresAt !== undefined && expiresAt <= Date.now()) return true;
    return this.cancelled.size > 0 && this.cancelled.delete(id);
  }

  /** One timer for all, which goes on while there is something to watch. */
  private readonly check = (): void => {
    this.timer = undefined;
    const now = Date.now();
    for (const running of [...this.running]) {
      if (running.isLate(now)) running.abort(new RequestTimeoutError(running.topic));
    }
    if (this.running.size > 0) this.timer = setTimeout(this.check, TICK_MS).unref();
  };
}
