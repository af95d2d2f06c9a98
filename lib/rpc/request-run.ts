import type { HandlerContext } from '../bus/event-context.js';
import { cutBy, type HandlerValues, lastOf, readerOf } from '../bus/handler-values.js';
import type { AnswerStream } from './answer-stream.js';
import type { AnswerStreams } from './answer-streams.js';
import type { Answers } from './answers.js';
import type { RunningRequest, RunningRequests } from './running-requests.js';

/** Shared by the requests that are handled in one place. */
export interface Conversations {
  readonly running: RunningRequests;
  readonly streams: AnswerStreams;
}

/** One request from when its handler begins until it has ended: what is the same whoever handles it. */
export class RequestRun {
  private stream: AnswerStream | undefined;

  constructor(
    private readonly conversations: Conversations,
    private readonly entry: RunningRequest,
    private readonly context: HandlerContext,
    private readonly answers: Answers,
  ) {}

  /**
   * Sends what the handler gives in the course of time piece by piece to those who can take that, and to others the last of it.
   *
   * @returns what is left to be sent as the last answer; undefined when there is no value
   * @throws the error of the handler; the reason of the signal, at once
   */
  read(values: HandlerValues): Promise<unknown> {
    const { context, answers, conversations } = this;
    const { message, signal } = context;
    if (message.credit === undefined) return lastOf(cutBy(signal, values), signal);
    const onBegun = (): void => {
      this.entry.hasBegun = true;
    };
    const parts = { request: message, answers, values: readerOf(values), context, onBegun };
    this.stream = conversations.streams.open(parts);
    return this.stream.run();
  }

  /** It cannot go on here. To be said before anything else: its redelivery may be here soon, and must not begin again. */
  giveUp(): void {
    this.conversations.running.giveUp(this.entry);
  }

  /** To be awaited where there is something to wait for: that the handler has stopped. Never rejects. */
  end(): Promise<void> | undefined {
    if (this.stream) return this.stream.close().then(() => this.leave());
    this.leave();
    return undefined;
  }

  private leave(): void {
    this.conversations.running.leave(this.entry);
  }
}

/** @returns undefined when nobody waits for its answer any more */
export function beginRequest(
  conversations: Conversations,
  context: HandlerContext,
  answers: Answers,
): RequestRun | undefined {
  const entry = conversations.running.enter(context, context.message);
  return entry && new RequestRun(conversations, entry, context, answers);
}
