import type { MessageHandler } from '@nestjs/microservices';
import type { HandlerContext } from '../bus/event-context.js';
import { isHandlerValues } from '../bus/handler-values.js';
import { HandlerTimeoutError } from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { Answers } from '../rpc/answers.js';
import { beginRequest, type Conversations } from '../rpc/request-run.js';
import { isForGood } from '../rpc/running-requests.js';
import type { EventBusContext } from './event-bus.context.js';
import { toReplyError } from './rpc-failure.js';

/**
 * Runs the handler of a request and answers with what it gives, or with its error: with all values of an Observable or AsyncIterable
 * where the request can take them, else with the last one. What it emitted is published before the last answer, and if that fails,
 * that is the answer. Rejects only when it was given up before anything was answered.
 *
 * @param given the context of the bus, which has what was emitted
 */
export async function handleRequest(
  callback: MessageHandler,
  payload: unknown,
  context: EventBusContext,
  given: HandlerContext,
  answers: Answers,
  conversations: Conversations,
): Promise<void> {
  const run = beginRequest(conversations, given, answers);
  if (!run) return;
  try {
    let value: unknown = await callback(payload, context);
    if (isHandlerValues(value)) value = await run.read(value);
    if (isOver(given)) throw given.signal.reason;
    await flush(given, answers);
    if (!(await answers.send(value === undefined ? { kind: 'end' } : { kind: 'value', value }))) given.discard();
  } catch (error) {
    if (mustTell(given, answers)) throw error;
    // another instance could only begin from the start
    if (given.aborted && !isForGood(given.signal.reason)) run.giveUp();
    given.discard();
    await answers.send({ kind: 'error', value: toReplyError(error) });
  } finally {
    await run.end();
  }
}

async function flush(given: HandlerContext, answers: Answers): Promise<void> {
  try {
    await given.flush();
  } catch (error) {
    answers.warn(`failed: ${describeError(error)}`);
    throw error;
  }
}

/** Then what it gives comes of having been told to stop. */
function isOver({ aborted, signal }: HandlerContext): boolean {
  return aborted && isForGood(signal.reason);
}

/** Whether the bus decides what becomes of it: nothing was answered, and somebody may still wait. */
function mustTell({ aborted, signal }: HandlerContext, { hasBegun }: Answers): boolean {
  return aborted && !hasBegun && (!isForGood(signal.reason) || signal.reason instanceof HandlerTimeoutError);
}
