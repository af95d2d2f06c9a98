import type { FinalReason } from './bus/handler.js';
import { complaintQuotes, valueAt } from './core/quotation.js';

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

/**
 * The complaints of a validation pipe, which Nest keeps in the response and not in the message. One that shows a value of
 * the payload (`$value` in a message of class-validator) is left out; names of properties are shown.
 */
export function explainNestError(error: unknown, payload: () => unknown): string | undefined {
  if (statusOf(error) === undefined) return undefined;
  const { getResponse } = error as { getResponse?: unknown };
  const response: unknown = typeof getResponse === 'function' ? getResponse.call(error) : undefined;
  const { message } = (typeof response === 'object' && response !== null ? response : {}) as { message?: unknown };
  if (!Array.isArray(message)) return undefined;
  const given = payload();
  return message
    .filter((one) => typeof one === 'string')
    .map((one) => withoutValues(one, given))
    .join('; ');
}

/** Class-validator begins with the property, Nest puts the path in front of it. */
function withoutValues(complaint: string, payload: unknown): string {
  const [place = ''] = complaint.split(' ', 1);
  const path = place.split('.');
  const isPath = valueAt(payload, path) !== payload;
  if (!complaintQuotes(complaint, payload, isPath ? path : [], false)) return complaint;
  return isPath ? `${place} is not valid` : 'a property is not valid';
}
