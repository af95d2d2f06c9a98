import type { Failure } from '../../core/delivery.js';
import type { Headers, Message } from '../../core/message.js';

/** A message as a test sees it. */
export interface MessageRecord<T = unknown> {
  readonly topic: string;
  /** Decoded from the bytes by the decoder of the bus, when it is first asked for; undefined where that cannot be done. */
  readonly payload: T;
  readonly headers: Headers;
  /** All of it, the bytes as well. Not enumerable, so that comparisons and printed differences leave it out. */
  readonly message: Message;
}

/** A message that the transport has taken. */
export interface PublishedRecord<T = unknown> extends MessageRecord<T> {
  /** `command`: sent straight to the queue of one group. */
  readonly kind: 'event' | 'broadcast' | 'command';
  /** Whether a group got it. */
  readonly routed: boolean;
}

/** A delivery that a handler has succeeded with. */
export interface HandledRecord<T = unknown> extends MessageRecord<T> {
  readonly group: string;
  readonly attempt: number;
}

/** An attempt that failed, also the last one. */
export interface FailedRecord<T = unknown> extends MessageRecord<T> {
  readonly group: string;
  readonly attempt: number;
  /** Name, message and stack of what was thrown. */
  readonly error: Failure;
}

/** A delivery that was given up. */
export interface DeadRecord<T = unknown> extends MessageRecord<T> {
  readonly group: string;
  readonly attempts: number;
  /** As in `DeadLetter`: `attempts-exhausted`, `validation`, … */
  readonly reason: string;
  readonly error: Failure | undefined;
}

/** What is recorded, by its kind. */
export interface TestRecords<T = unknown> {
  readonly published: PublishedRecord<T>;
  readonly handled: HandledRecord<T>;
  readonly failed: FailedRecord<T>;
  readonly dead: DeadRecord<T>;
}

export type TestRecordKind = keyof TestRecords;

/**
 * @param decode reads the payload, when somebody looks at it
 * @param fields what is told besides, by the kind of the record
 */
export function recordOf<F extends object>(
  message: Message,
  decode: (message: Message) => unknown,
  fields: F,
): F & MessageRecord {
  let decoded: { readonly payload: unknown } | undefined;
  const record = {
    topic: message.topic,
    get payload(): unknown {
      decoded ??= { payload: payloadOf(message, decode) };
      return decoded.payload;
    },
    headers: message.headers,
  };
  // defined one by one: a copy of the record would decode the payload at once
  Object.defineProperties(record, Object.getOwnPropertyDescriptors(fields));
  Object.defineProperty(record, 'message', { value: message });
  return record as typeof record & F & MessageRecord;
}

function payloadOf(message: Message, decode: (message: Message) => unknown): unknown {
  try {
    return decode(message);
  } catch {
    return undefined; // no handler could read it either; the bytes are in `message`
  }
}
