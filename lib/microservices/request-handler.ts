import type { MessageHandler } from '@nestjs/microservices';
import { isObservable } from 'rxjs';
import type { HandlerContext } from '../bus/event-context.js';
import { HandlerTimeoutError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { Answers } from '../rpc/answers.js';
import type { EventBusContext } from './event-bus.context.js';
import { replyWithAll, type SendReply } from './reply-stream.js';
import { toReplyError } from './rpc-failure.js';

/**
 * Runs the handler of a request and answers with what it gives, or with its error. What it emitted is published before the last
 * answer, and if that fails, that is the answer. Rejects only when it was given up before anything was answered.
 *
 * @param given the context of the bus, which has what was emitted
 */
export async function handleRequest(
  callback: MessageHandler,
  payload: unknown,
  context: EventBusContext,
  given: Pick<HandlerContext, 'flush' | 'discard'>,
  answers: Answers,
): Promise<void> {
  const fail = (error: unknown): Promise<boolean> => {
    given.discard();
    return answers.send({ kind: 'error', value: toReplyError(error) });
  };
  const send: SendReply = async (reply) => {
    if (reply.kind === 'error') return fail(reply.value);
    if (reply.kind !== 'part') {
      try {
        await given.flush();
      } catch (error) {
        answers.warn(`failed: ${describeError(error)}`);
        return fail(error);
      }
    }
    const isSent = await answers.send(reply);
    if (!isSent) given.discard();
    return isSent;
  };
  try {
    const result: unknown = await callback(payload, context);
    if (isTimedOut(context)) throw context.signal.reason;
    if (isObservable(result)) await replyWithAll(result, send, context.signal);
    else await send(result === undefined ? { kind: 'end' } : { kind: 'value', value: result });
  } catch (error) {
    // another instance could only begin from the start
    if (context.signal.aborted && !answers.hasBegun) throw error;
    await fail(error);
  }
}

/** Then what it gives comes of having been told to stop. */
function isTimedOut({ signal }: EventBusContext): boolean {
  return signal.aborted && signal.reason instanceof HandlerTimeoutError;
}
