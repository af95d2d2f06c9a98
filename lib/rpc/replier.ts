import { encodingOf, MessageEncoder } from '../bus/message-encoder.js';
import type { ResolvedOptions } from '../bus/resolved-options.js';
import { DeadLetterError } from '../core/errors.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import type { Serializer } from '../core/serializer.js';
import { onOneLine } from '../core/text.js';
import type { Transport } from '../core/transport.js';
import { BytesSerializer } from '../serializers/bytes.serializer.js';
import { type AnswerOptions, Answers, codeOf } from './answers.js';
import { ErrorEncoder } from './error.encoder.js';

export interface ReplierParts {
  readonly transport: Transport;
  readonly serializer: Serializer;
  readonly options: Pick<ResolvedOptions, 'service' | 'publish'>;
  readonly logger: BusLogger;
}

/** Answers requests. */
export class Replier {
  private readonly options: AnswerOptions;
  private isRefusalTold = false;

  constructor({ transport, serializer, options, logger }: ReplierParts) {
    const encoding = encodingOf({ serializer, options });
    this.options = {
      transport,
      encoder: new MessageEncoder(encoding),
      empty: new MessageEncoder({ ...encoding, serializer: new BytesSerializer() }),
      errors: new ErrorEncoder(encoding),
      timeoutMs: options.publish.timeoutMs,
      logger,
      onFailed: (error, { topic, correlationId }) =>
        logger.warn(onOneLine(`The answer "${topic}" to ${correlationId} may not have arrived (${codeOf(error)})`)),
    };
  }

  /** Whether an answer can go where the request wants it. */
  canAnswer({ replyTo }: Message): boolean {
    return replyTo !== undefined && (this.options.transport.canReply?.(replyTo) ?? true);
  }

  /** @throws DeadLetterError for a request whose answer could reach nobody */
  open(request: Message): Answers {
    if (!this.canAnswer(request)) throw this.unanswerable(request);
    return new Answers(this.options, request);
  }

  private unanswerable({ topic }: Message): Error {
    const text =
      'Its reply address is none that this transport answers to. It has not been handled. Ask with bus.request(), with EventBusClient, or by direct reply-to.';
    if (!this.isRefusalTold)
      this.options.logger.warn(onOneLine(`Request "${topic}": ${text} It is a dead letter. Said once.`));
    this.isRefusalTold = true;
    return new DeadLetterError(text);
  }
}
