import { HandlerTimeoutError, RequestCancelledError, RequestTimeoutError } from '../core/errors.js';
import type { Message } from '../core/message.js';
import { requestIdOf } from './rpc.wire.js';

/** What a running request can be told. */
export interface Abortable {
  readonly aborted: boolean;
  abort(reason: unknown): void;
}

interface Running {
  readonly message: Message;
  /** Whether a part of its answer is on its way: then each part has a time of its own. */
  hasBegun: boolean;
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
  private readonly running = new Map<Abortable, Running>();
  /** Other clients may give several requests one id: then the latest has it, and all have their deadlines. */
  private readonly byId = new Map<string, Abortable>();
  /** Ids with the time until which they count; the oldest first. */
  private readonly cancelled = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  /** @returns its key, for `leave`; undefined when nobody waits for it any more */
  enter(request: Abortable, message: Message): string | undefined {
    const id = requestIdOf(message);
    if (this.isOver(id, message)) return undefined;
    this.running.set(request, { message, hasBegun: false });
    this.byId.set(id, request);
    if (message.expiresAt !== undefined) this.timer ??= setTimeout(this.check, TICK_MS).unref();
    return id;
  }

  /** Its answer comes in parts, the first of which was in time. */
  begin(request: Abortable): void {
    const found = this.running.get(request);
    if (found) found.hasBegun = true;
  }

  /** It has ended. One that came again meanwhile, because the delivery of this one was lost, goes on. */
  leave(id: string, request: Abortable): void {
    this.running.delete(request);
    if (this.byId.get(id) === request) this.byId.delete(id);
  }

  /** Nobody waits any more; also told of what others handle, and of what has not come yet. */
  cancel(id: string): void {
    const request = this.byId.get(id);
    const found = request && this.running.get(request);
    if (found) {
      request.abort(new RequestCancelledError(found.message.topic));
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
  giveUp(id: string, request: Abortable): void {
    this.leave(id, request);
    this.cancel(id);
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
    for (const [request, { message, hasBegun }] of this.running) {
      const { expiresAt, topic } = message;
      if (!hasBegun && expiresAt !== undefined && expiresAt <= now && !request.aborted)
        request.abort(new RequestTimeoutError(topic));
    }
    if (this.running.size > 0) this.timer = setTimeout(this.check, TICK_MS).unref();
  };
}
