import type { EventDefinition } from '../bus/event-definition.js';
import type { MessageOptions } from '../bus/message-encoder.js';
import type { Target } from '../core/transport.js';
import type { Reply } from './rpc.wire.js';

export interface Request {
  readonly topic: string;
  readonly target: Target;
  readonly payload: unknown;
  readonly definition?: EventDefinition | undefined;
  /** What its message says of itself, but for what makes it a request. */
  readonly message?: Omit<MessageOptions, 'replyTo' | 'requestId' | 'credit' | 'expiresInMs'> | undefined;
  /** How long an answer may take, and after it the next one. Default: that of the requester. */
  readonly timeoutMs?: number | undefined;
  /** How long the first one may take; the request is not started later. Default: `timeoutMs`. */
  readonly startMs?: number | undefined;
}

/** Is told everything about one request; nothing after `onReply` of the last answer, or after `onError`. */
export interface RequestEvents {
  onReply(reply: Reply): void;
  onError(error: unknown): void;
}

/** A request whose answer comes in parts. */
export interface OpenStream {
  /** A part has been read, so that another one may come. Must be said of each, else no more of them come. */
  readonly take: () => void;
  /** Nothing is told any more; who answers is told to stop. */
  readonly stop: () => void;
}
