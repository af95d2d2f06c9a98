import type { MessageHandler } from '@nestjs/microservices';
import { isHandlerValues, lastOf } from '../bus/handler-values.js';
import { ChainTooDeepError, DeadLetterError } from '../core/errors.js';
import type { EventBusContext } from './event-bus.context.js';
import { classifyRpcError, toHandlerError } from './rpc-failure.js';

/**
 * Runs all methods that asked for an event, and waits for each of them. When some fail, the event fails with the error of the
 * one for which trying again can help, if there is one.
 */
export async function handleEvent(
  callbacks: readonly MessageHandler[],
  payload: unknown,
  context: EventBusContext,
): Promise<void> {
  const results = await Promise.allSettled(callbacks.map((callback) => settle(callback, payload, context)));
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [toHandlerError(result.reason)] : []));
  const [first] = errors;
  if (first === undefined) return;
  throw errors.find((error) => !isFinal(error)) ?? first;
}

async function settle(callback: MessageHandler, payload: unknown, context: EventBusContext): Promise<void> {
  const result: unknown = await callback(payload, context);
  if (isHandlerValues(result)) await lastOf(result, context.signal);
}

function isFinal(error: Error): boolean {
  return (
    error instanceof DeadLetterError || error instanceof ChainTooDeepError || classifyRpcError(error) !== undefined
  );
}
