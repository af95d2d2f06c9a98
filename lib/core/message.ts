/** What a header can hold. Every transport carries these three types unchanged. */
export type HeaderValue = string | number | boolean;

export type Headers = Readonly<Record<string, HeaderValue>>;

/**
 * What a transport moves: frozen data, no methods, so that memory, wire, retry copy, dead letter and outbox share one
 * shape. The body is bytes; a transport never looks into it, and whoever hands it over must not change it afterwards.
 */
export interface Message {
  /** Unique for the event, kept by every copy of it: the key for idempotent consumers. */
  readonly id: string;
  /** Name of the event on the wire; empty when the publisher gave none. */
  readonly type: string;
  /** Version of the event's schema, when its class or definition has one. */
  readonly version?: number;
  /** Dot-separated routing key. */
  readonly topic: string;
  /** Ordering key: messages with the same key are kept in order by subscriptions that are `ordered: 'key'`. */
  readonly key?: string;
  readonly contentType: string;
  /** The codings of the body, in the order in which they were applied, as HTTP writes them. Absent: none. */
  readonly contentEncoding?: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** When it was published, in milliseconds since 1970. RabbitMQ carries whole seconds. */
  readonly timestamp: number;
  /** The service that published it. */
  readonly source?: string;
  readonly correlationId?: string;
  /** Id of the message whose handler published this one. */
  readonly causationId?: string;
  /** How many handlers were at work before it, each because of the one before. Absent: published outside of handlers. */
  readonly depth?: number;
  readonly replyTo?: string;
  /**
   * Of a request with `replyTo`: what its answers carry as their `correlationId`. Absent: `correlationId`, as requesters of other
   * libraries have it.
   */
  readonly requestId?: string;
  /**
   * Of a request with `replyTo`: its answer may come in parts, and so many of them before whoever asked grants more. Absent: one
   * answer is wanted.
   */
  readonly credit?: number;
  /** Not handled after this time, in milliseconds since 1970. */
  readonly expiresAt?: number;
  /** Not handled before this time, in milliseconds since 1970. */
  readonly dueAt?: number;
}
