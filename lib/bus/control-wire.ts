import type { Delivery } from '../core/delivery.js';
import { ConfigurationError } from '../core/errors.js';
import { LIMITS } from '../core/limits.js';
import { parseJson } from '../serializers/json.parser.js';

/*
 * What instances tell each other: a JSON object, under the topic `control`, with its kind as `type` of the message. The body
 * names the kind again: other clients read only bodies, and write nothing else.
 */

export const CONTROL_TOPIC = 'control';

/** Where clients that know no control channel say that they are ready: on the main exchange. */
export const READY_TOPIC = 'sys.rendezvous.ready';

/** As a `type` anything could come. */
const KIND = /^[\w.-]{1,64}$/;

/** What a message says. */
export type ControlBody = Readonly<Record<string, unknown>>;

export interface ControlMessage {
  readonly kind: string;
  readonly body: ControlBody;
}

/** @throws ConfigurationError */
export function assertKind(kind: string): void {
  if (!KIND.test(kind))
    throw new ConfigurationError('The kind of a control message has 1 to 64 letters, digits or . _ -');
}

/** Undefined for what cannot be read. Nothing is known of the body but that it is JSON within the limits. */
export function readControl({ message, defect }: Pick<Delivery, 'message' | 'defect'>): ControlMessage | undefined {
  const { type, body: bytes, contentEncoding } = message;
  if (defect !== undefined || contentEncoding !== undefined || bytes.byteLength > LIMITS.controlBytes) return undefined;
  let body: unknown;
  try {
    body = parseJson(bytes);
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const kind = type === '' ? (body as ControlBody).kind : type;
  return typeof kind === 'string' && KIND.test(kind) ? { kind, body: body as ControlBody } : undefined;
}
