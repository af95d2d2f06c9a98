import type { FinalReason } from './bus/handler.js';

/** Errors by which Nest's guards and pipes refuse: trying again gives the same answer. */
export function classifyNestError(error: unknown): FinalReason | undefined {
  const status = statusOf(error);
  if (status === 401 || status === 403) return 'forbidden';
  if (status === 400 || status === 422) return 'validation';
  return undefined;
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || typeof (error as { getStatus?: unknown }).getStatus !== 'function') return undefined;
  const status: unknown = (error as unknown as { getStatus(): unknown }).getStatus();
  return typeof status === 'number' ? status : undefined;
}

/** The complaints of a validation pipe, which Nest keeps in the response and not in the message. */
export function explainNestError(error: unknown): string | undefined {
  if (statusOf(error) === undefined) return undefined;
  const { getResponse } = error as { getResponse?: unknown };
  const response: unknown = typeof getResponse === 'function' ? getResponse.call(error) : undefined;
  const { message } = (typeof response === 'object' && response !== null ? response : {}) as { message?: unknown };
  return Array.isArray(message) ? message.filter((one) => typeof one === 'string').join('; ') : undefined;
}
