import type { Message } from '../core/message.js';
import { type AnswerOptions, Answers } from './answers.js';

/** Answers requests. */
export class Replier {
  constructor(private readonly options: AnswerOptions) {}

  /** Whether an answer can go where the request wants it. */
  canAnswer({ replyTo }: Message): boolean {
    return replyTo !== undefined && (this.options.transport.canReply?.(replyTo) ?? true);
  }

  open(request: Message): Answers {
    return new Answers(this.options, request);
  }
}
