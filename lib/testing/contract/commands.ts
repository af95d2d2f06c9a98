import assert from 'node:assert/strict';
import { Injectable, type Type } from '@nestjs/common';
import type { CommandClass, CommandDefinition } from '../../bus/command-definition.js';
import type { EventContext } from '../../bus/event-context.js';
import { RemoteError } from '../../core/errors.js';
import { OnCommand, type OnCommandOptions } from '../../decorators/on-command.decorator.js';
import type { Bench } from './bench.js';

/** A provider whose one method handles the command by `work`. */
export function commandHandler(
  command: string | CommandClass | CommandDefinition,
  work: (payload: unknown, context: EventContext) => unknown,
  options: OnCommandOptions = {},
): Type {
  @Injectable()
  class CommandHandler {
    @OnCommand(command, options)
    on(payload: unknown, context: EventContext): unknown {
      return work(payload, context);
    }
  }
  return CommandHandler;
}

/** The group of a command on the exchange of the bench. */
export function commandGroupOf({ exchange }: Bench, topic: string): string {
  return `${exchange.name}.command.${topic}`;
}

/** With what a promise rejects. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It did not reject.');
}

/** What the other side has told of the error by which a request failed. */
export async function remoteError(promise: Promise<unknown>): Promise<RemoteError> {
  const error = await rejection(promise);
  assert.ok(error instanceof RemoteError, `no RemoteError: ${String(error)}`);
  return error;
}

/** Never resolves; rejects with the reason of `signal`. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
