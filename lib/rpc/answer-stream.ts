import type { HandlerContext } from '../bus/event-context.js';
import type { ValueReader } from '../bus/handler-values.js';
import { ConnectionError, RequestCancelledError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import { LIMITS } from '../core/limits.js';
import type { Message } from '../core/message.js';
import type { ReplyPath } from '../core/transport.js';
import type { Answers } from './answers.js';

export interface AnswerStreamParts {
  /** Has `replyTo` and `credit`. */
  readonly request: Message;
  readonly answers: Answers;
  readonly values: ValueReader;
  /** Its signal says when to stop. */
  readonly context: HandlerContext;
  /** Opens the way on which the requester can talk back. */
  readonly openPath: () => Promise<ReplyPath>;
  /** The first part is about to go. Must not throw. */
  readonly onBegun?: (() => void) | undefined;
  /** It has come to its end. Must not throw. */
  readonly onClosed: (stream: AnswerStream) => void;
}

/**
 * The values of one handler as the parts of an answer: many at one time on their way, never more than were granted, and the
 * handler is asked for no value that could not be sent.
 */
export class AnswerStream {
  /** Beats since the requester was last heard of. */
  private silence = 0;
  private limit: number;
  private sent = 0;
  private unconfirmed = 0;
  private wake: (() => void) | undefined;
  private interrupt: ((reason: unknown) => void) | undefined;

  constructor(private readonly parts: AnswerStreamParts) {
    this.limit = Math.min(parts.request.credit ?? 1, LIMITS.streamCredit);
  }

  /** @param limit how many parts may be sent in all, whatever somebody claims within the bound */
  grant(limit: number): void {
    this.silence = 0;
    this.limit = Math.max(this.limit, Math.min(limit, this.sent + LIMITS.streamCredit));
    this.wake?.();
  }

  /** Nobody can grant anything any more: the way back is another one now. */
  lose(): void {
    if (this.sent > 0) this.parts.context.abort(new ConnectionError('The connection to the broker was lost.'));
  }

  /** One more beat has passed. @returns how many since the requester was heard of */
  beat(): number {
    return this.sent > 0 ? ++this.silence : 0;
  }

  /** Nobody reads any more. */
  cancel(): void {
    const { context, request, answers } = this.parts;
    answers.drop();
    context.abort(new RequestCancelledError(request.topic));
  }

  /**
   * Sends what the handler gives, up to the last part; the last answer is left to the caller, and so is `close`.
   *
   * @returns the one value, if it is known to be the only one: then nothing has been sent; else undefined
   * @throws the error of the handler; the reason of the signal, at once
   */
  async run(): Promise<unknown> {
    const { values, context } = this.parts;
    const { signal } = context;
    const onAbort = (): void => {
      this.interrupt?.(signal.reason);
      this.wake?.();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        await this.waitWhile(this.isFull);
        const { done, value } = await this.next();
        if (done === true) break;
        if (value === undefined) continue; // no value, as everywhere
        if (this.sent === 0 && values.isOver) return value;
        await this.send(value);
      }
      await this.waitWhile(this.isUnconfirmed);
      return undefined;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Ends the handler, and waits until it has: its `finally` runs, its Observable is unsubscribed. Never rejects. */
  async close(): Promise<void> {
    const { values, answers, onClosed } = this.parts;
    onClosed(this);
    try {
      await values.return?.();
    } catch (error) {
      answers.warn(`failed when it was told to stop: ${describeError(error)}`);
    }
  }

  private async send(value: unknown): Promise<void> {
    const { answers, openPath, onBegun } = this.parts;
    if (this.sent === 0) {
      answers.goBy(await openPath());
      this.parts.context.signal.throwIfAborted();
      this.parts.context.beginAnswer();
      onBegun?.();
    }
    this.sent++;
    this.unconfirmed++;
    void Promise.resolve(answers.send({ kind: 'part', value })).then((isSent) => {
      this.unconfirmed--;
      if (!isSent) this.parts.context.abort(new ConnectionError('A part of the answer could not be sent.'));
      this.wake?.();
    });
  }

  /** The handler's next value; or, at once, the reason for which it was aborted meanwhile. */
  private next(): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.interrupt = reject;
      this.parts.values.next().then(resolve, reject);
    });
  }

  private readonly isFull = (): boolean => this.sent >= this.limit || this.unconfirmed >= LIMITS.streamUnconfirmed;

  private readonly isUnconfirmed = (): boolean => this.unconfirmed > 0;

  /** @throws the reason of the signal */
  private async waitWhile(mustWait: () => boolean): Promise<void> {
    const { signal } = this.parts.context;
    signal.throwIfAborted();
    while (mustWait()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      signal.throwIfAborted();
    }
  }
}
