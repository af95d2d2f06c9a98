import { RpcException } from '@nestjs/microservices';
import type { FinalReason } from '../bus/handler.js';
import { EventBusError } from '../core/errors.js';
import { isError } from '../core/is-error.js';
import { classifyNestError } from '../nest-errors.js';

/** What Nest says of an error of which it tells the other side nothing. */
const HIDDEN = 'Internal server error';
/** What Nest says when a guard has refused. */
const DENIED = 'Forbidden resource';

interface RpcError {
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly message?: unknown;
}

/** What a handler of `@nestjs/microservices` failed with, where it is no Error: `{ status, message }` or a text. */
export class RpcFailure extends EventBusError {
  readonly given: unknown;

  constructor(given: unknown) {
    super('RPC', textOf(given), { retryable: true });
    this.given = given;
  }

  /** Whether Nest has kept the real error to itself. */
  get isHidden(): boolean {
    return this.message === HIDDEN && (this.given as RpcError | null)?.status === 'error';
  }
}

/** The error with which a handler failed, out of what Nest makes of it. */
export function toHandlerError(thrown: unknown): Error {
  if (thrown instanceof RpcException) return toHandlerError(thrown.getError());
  return isError(thrown) ? thrown : new RpcFailure(thrown);
}

/** Whether trying again gives the same answer. */
export function classifyRpcError(error: unknown): FinalReason | undefined {
  if (!(error instanceof RpcFailure)) return classifyNestError(error);
  const { status, statusCode, message } = (error.given ?? {}) as RpcError;
  const code = typeof statusCode === 'number' ? statusCode : status;
  if (code === 401 || code === 403 || message === DENIED || error.given === DENIED) return 'forbidden';
  return code === 400 || code === 422 ? 'validation' : undefined;
}

/** What a caller is told of an error: as Nest has it, and never more than its text. */
export function toReplyError(thrown: unknown): unknown {
  if (!isError(thrown)) return thrown ?? { status: 'error', message: HIDDEN };
  const { name, message } = thrown;
  return { status: 'error', name, message, ...(thrown instanceof EventBusError && { code: thrown.code }) };
}

function textOf(given: unknown): string {
  if (typeof given === 'string') return given;
  const message: unknown = (given as RpcError | null | undefined)?.message;
  if (typeof message === 'string') return message;
  if (Array.isArray(message) && message.every((one) => typeof one === 'string')) return message.join('; ');
  return `The handler failed with ${Array.isArray(given) ? 'an array' : `a ${typeof given}`} that is no Error.`;
}
