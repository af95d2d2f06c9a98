import type { MessageHandler } from '@nestjs/microservices';
import { isObservable } from 'rxjs';
import { HandlerTimeoutError } from '../core/errors.js';
import type { Replier } from '../rpc/replier.js';
import type { EventBusContext } from './event-bus.context.js';
import { replyWithAll, type SendReply } from './reply-stream.js';
import { toReplyError } from './rpc-failure.js';

/**
 * Runs the handler of a request and answers with what it gives, or with its error. Rejects only when it was given up before
 * anything was answered.
 */
export async function handleRequest(
  callback: MessageHandler,
  payload: unknown,
  context: EventBusContext,
  replier: Replier,
): Promise<void> {
  let sent = 0;
  const send: SendReply = async ({ kind, value }) => {
    sent++;
    await replier.reply(context.message, { kind, value: kind === 'error' ? toReplyError(value) : value });
  };
  try {
    const result: unknown = await callback(payload, context);
    if (isTimedOut(context)) throw context.signal.reason;
    if (isObservable(result)) await replyWithAll(result, send, context.signal);
    else await send(result === undefined ? { kind: 'end' } : { kind: 'value', value: result });
  } catch (error) {
    // another instance could only begin from the start
    if (context.signal.aborted && sent === 0) throw error;
    await send({ kind: 'error', value: error });
  }
}

/** Then what it gives comes of having been told to stop. */
function isTimedOut({ signal }: EventBusContext): boolean {
  return signal.aborted && signal.reason instanceof HandlerTimeoutError;
}
