import type { HandlerContext } from '../bus/event-context.js';
import type { HandlerRegistration } from '../bus/group-definition.js';
import { isHandlerValues } from '../bus/handler-values.js';
import { StreamBrokenError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { onOneLine } from '../core/text.js';
import { type TellOptions, toRemoteFailure } from './remote-failure.js';
import type { Replier } from './replier.js';
import { beginRequest, type Conversations } from './request-run.js';
import type { Reply } from './rpc.wire.js';
import { isForGood } from './running-requests.js';

export interface RequestHandlerParts {
  readonly replier: Replier;
  readonly conversations: Conversations;
  readonly withStack: boolean;
  readonly logger: BusLogger;
}

const END: Reply = Object.freeze({ kind: 'end' });

/** Makes handlers of commands answer those who wait for an answer. */
export class RequestHandler {
  /** Those that took too long are ended twice: by their time, and by their handler. */
  private readonly refused = new WeakSet<Message>();

  constructor(private readonly parts: RequestHandlerParts) {}

  wrap(registration: HandlerRegistration): HandlerRegistration {
    const { replier, withStack, logger } = this.parts;
    const told: TellOptions = { withStack, classify: (error) => registration.classify?.(error) };
    return {
      ...registration,
      invoke: (payload, context) =>
        context.message.replyTo === undefined
          ? registration.invoke(payload, context)
          : this.answer(registration, told, payload, context),
      refuse: (message, error) => {
        if (!replier.canAnswer(message)) return false;
        if (!this.isFirst(message)) return true;
        logger.warn(onOneLine(`Request "${message.topic}" (${message.id}) failed: ${describeError(error)}`));
        void replier.open(message).send({ kind: 'error', value: toRemoteFailure(error, told) }); // never rejects
        return true;
      },
    };
  }

  /**
   * Runs the handler and answers with what it gives, or with its error. What it emitted is published before, and if that fails,
   * that is the answer. Rejects only when the delivery is not this process's any more: it comes again.
   */
  private async answer(
    registration: HandlerRegistration,
    told: TellOptions,
    payload: unknown,
    context: HandlerContext,
  ): Promise<void> {
    const { replier, conversations } = this.parts;
    const { message } = context;
    const answers = replier.open(message);
    const run = beginRequest(conversations, context, answers);
    if (!run) return;
    try {
      let value = await registration.invoke(payload, context);
      if (isHandlerValues(value)) value = await run.read(value);
      if (context.aborted) throw context.signal.reason;
      context.close();
      if (context.hasEmitted) await context.flush();
      const sending = answers.send(value === undefined ? END : { kind: 'value', value });
      if (typeof sending !== 'boolean') await sending;
    } catch (error) {
      const isGone = context.aborted && !isForGood(context.signal.reason);
      if (isGone && !answers.hasBegun) throw error;
      if (isGone) run.giveUp();
      context.discard(error);
      if (context.aborted && !this.isFirst(message)) return;
      const tell = isGone ? new StreamBrokenError(message.topic, 'its handler was cut off or shut down.') : error;
      const failure = toRemoteFailure(tell, told);
      // an error with a code is mostly an answer that was meant; any other may be a fault, to be looked for here
      const mayBeFault = failure.code === undefined || failure.code === 'EMIT_FAILED';
      if (mayBeFault && !context.aborted) answers.warn(`failed: ${describeError(tell)}`);
      await answers.send({ kind: 'error', value: failure });
    } finally {
      const ending = run.end();
      if (ending) await ending;
    }
  }

  private isFirst(message: Message): boolean {
    if (this.refused.has(message)) return false;
    this.refused.add(message);
    return true;
  }
}
