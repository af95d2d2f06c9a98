import type { Delivery, Failure } from './delivery.js';
import type { Binding, Exchange } from './exchange.js';
import type { GroupRecord } from './group-record.js';
import type { Message } from './message.js';

/** Told why a message was not taken, or may not have been. Must not throw. */
export type OnFailed = (error: unknown, message: Message) => void;

/** Where a message goes: through an exchange to every group bound there, or straight to one group. */
export type Target =
  | { readonly kind: 'exchange'; readonly exchange: Exchange }
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'reply'; readonly address: string };

/**
 * What a transport does about queues and exchanges that a broker keeps: `assert` creates what is missing and refuses what
 * differs; `check` refuses what is missing and takes the rest as it is; `skip` trusts that all is there.
 */
export type DeclareMode = 'assert' | 'check' | 'skip';

/** What a consumer wants, as data: a transport declares it, and declares it again after every reconnect. */
export interface Source {
  readonly bindings: readonly Binding[];
  /** Named: durable, one of n members gets each message. Absent: private to this instance, gone with it. */
  readonly group?: string;
  /** Prefix for the name of a private queue. */
  readonly owner: string;
  /** Group that keeps the dead letters of a private source, which itself does not outlive its instance. */
  readonly deadLetterGroup: string;
  /** Unsettled deliveries at one time, 1 or more. */
  readonly prefetch: number;
  /** `key`: deliveries with the same `message.key` come one at a time, in order. Needs the capability `per-key`. */
  readonly ordered?: 'key';
  /** Where a new group starts: what comes (default) or what the transport still has. Needs the capability `replay`. */
  readonly startFrom?: 'new' | 'earliest';
  /** Default: the transport's own. Nothing to a transport that keeps nothing. */
  readonly declare?: DeclareMode;
  /** How the group's queue is, where it is not as the transport makes one. Nothing to a transport without such queues. */
  readonly queue?: QueueSettings;
  /** Groups of which this one takes over what they still hold; then they are removed. */
  readonly previous?: readonly string[];
  /** Bindings that the group had once, to be taken away. */
  readonly unbind?: readonly Binding[];
}

/** A queue that was there before, or that the group's own must be like. */
export interface QueueSettings {
  /** Its full name. Default: that of the group. Retry and dead-letter queues are named after the group all the same. */
  readonly name?: string;
  /** Default `quorum`. */
  readonly type?: 'quorum' | 'classic';
  /** Of a classic queue all arguments; for a quorum queue they are added to the library's own, and win. */
  readonly arguments?: Readonly<Record<string, string | number | boolean>>;
  /** Whether the bindings are made. Default: when the queue is declared with `assert`. */
  readonly bind?: boolean;
}

export interface Topology {
  readonly exchanges: readonly Exchange[];
  readonly sources: readonly Source[];
}

/** A running consumer. */
export interface Consumer {
  readonly state: 'running' | 'paused' | 'recovering' | 'closed';
  /** Stops new deliveries; what was delivered stays with its handler. Resolves when the broker has agreed. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Stops new deliveries at once, waits for running ones, aborts them at the deadline and releases what is left.
   * Idempotent; always ends by the deadline plus a bounded grace.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
}

export interface ConsumeEvents {
  /** Must settle the delivery, soon or later, exactly once; must not throw. */
  deliver(delivery: Delivery): void;
  /** The consumer was taken away (channel, connection or queue lost); it comes back by itself. */
  interrupted?(): void;
  /** Messages may have been missed: a private queue was made anew after a reconnect. */
  gap?(): void;
}

export interface DeadLetterRecord {
  readonly message: Message;
  readonly reason: string;
  readonly failure?: Failure;
  readonly attempts: number;
  readonly firstFailedAt?: number;
  readonly lastFailedAt?: number;
}

export interface DeadLetterQuery {
  readonly ids?: readonly string[];
  readonly limit?: number;
  /** Told after each letter how many have been replayed, of how many; must not throw. */
  readonly onProgress?: (replayed: number, total: number) => void;
  /** Stops it, which is no error: what has been replayed stays so and is counted, and the rest stays dead. */
  readonly signal?: AbortSignal;
}

/**
 * The dead letters of groups, oldest first. Listing never changes or loses anything. One reader of a group at a time: another
 * one waits, and at last rejects with a DeadLettersBusyError. Whoever asks for some sees the oldest `LIMITS.deadLetters`.
 */
export interface DeadLetters {
  /** @param offset how many of the oldest are left out; default 0. Beyond the last one the page is empty. */
  list(group: string, limit: number, offset?: number): Promise<readonly DeadLetterRecord[]>;
  /** Includes what a reader holds. */
  count(group: string): Promise<number>;
  /**
   * Back to that group only, as attempt 1; each is confirmed there before it is removed here. Without `ids` and `limit` all
   * that are there when it begins, and none that comes back meanwhile. Resolves with their number.
   *
   * @throws ConfigurationError when the group has no queue
   */
  replay(group: string, query: DeadLetterQuery): Promise<number>;
  purge(group: string): Promise<number>;
}

/** The way back for answers: publishing and receiving share one channel, as direct reply-to demands. */
export interface ReplyPath {
  /** Goes into `message.replyTo` of a request published here. Changes when the connection is made anew. */
  readonly address: string;
  /** One attempt: what is under way when its channel is lost rejects with a ConnectionError, and is not sent again. */
  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed>;
  close(): Promise<void>;
}

export interface ReplyOptions {
  /** The channel has changed: answers to what was published before cannot come any more. Must not throw. */
  readonly onLost?: () => void;
  /** Whether an answer is waited for: then the channel is not exchanged of the transport's own accord. Default: never. */
  readonly isAwaited?: () => boolean;
  /** Gives up what is not open yet. */
  readonly signal?: AbortSignal;
}

/** How a broker has put it that no queue takes a message. */
export interface Returned {
  /** In the numbers of AMQP: 312. */
  readonly code: number;
  /** `NO_ROUTE`. */
  readonly text: string;
}

export interface Routed {
  /**
   * Whether any group got it. Of an exchange whose type the broker does not have (see `exchangeTypes`): whether any group is
   * bound to it.
   */
  readonly routed: boolean;
  /** Why not, where the transport can tell. */
  readonly returned?: Returned;
}

export interface TransportPublishOptions {
  /** Bound for the whole publish, waiting included. Default: the transport's `publish.timeoutMs`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What to do when the buffer is full. Default: the transport's `publish.buffer.onFull`. */
  readonly onFull?: 'reject' | 'wait';
}

export type ConnectionState = 'idle' | 'connecting' | 'up' | 'blocked' | 'down' | 'closed';

/** Live state of the link to a broker: what `EVENT_BUS_CONNECTION` injects. */
export interface Connection {
  readonly state: ConnectionState;
  /** Host, port and virtual host, built from parsed parts: never credentials. */
  readonly endpoint: string;
  /** Why it is not up, as far as is known; never credentials. */
  readonly trouble?: string | undefined;
  /** Listens for changes of `state`; returns the way to stop. */
  onStateChange(listener: (state: ConnectionState, cause?: Error) => void): () => void;
  /** The driver's own connection objects, for what this library does not cover; undefined while there is none. */
  raw(): unknown;
}

/** What may differ between transports. Everything else is the same and held by the contract suite. */
export interface TransportCapabilities {
  /** Survives a restart of the process and of the broker. */
  readonly durable: boolean;
  readonly ordered: 'per-key' | 'single-consumer' | 'never';
  /** `exact`: any delay. `levels`: delays of a policy are declared, others hop through fixed levels. */
  readonly delay: 'exact' | 'levels';
  /** Whether a publish learns that no group got it. */
  readonly unroutable: boolean;
  /** Whether a new group can start from what was published before. */
  readonly replay: boolean;
  /**
   * Types by which it routes itself in every case. Exchanges of other types work too: a broker that has the type routes by it,
   * and else the rule of the handler is applied where messages are consumed. Then every group that is bound to the exchange
   * gets what is published there, and drops what it does not want, so that `routed` means that some group is bound.
   */
  readonly exchangeTypes: readonly string[];
}

/**
 * Moves bytes and outcomes for one broker. Nothing above it knows which one, nothing in it knows what a message means.
 * Every promise settles in bounded time.
 */
export interface Transport {
  readonly name: string;
  readonly capabilities: TransportCapabilities;
  readonly connection: Connection;
  readonly deadLetters: DeadLetters;
  /** Where a service's groups are written down. Absent: nothing outlives the process, or all is made by hand. */
  readonly groupRecord?: GroupRecord | undefined;
  /** Why nothing can be published although it is connected; publishes reject with it until it is mended. */
  readonly obstacle?: Error | undefined;
  /**
   * Connects and declares `topology`, then and after every reconnect, before anything is published. Resolves when it
   * first stands; rejects at once for what waiting cannot mend (credentials, a conflicting declaration). Until then
   * publishes wait in the buffer. A conflict of one queue keeps neither publishes nor other queues from working.
   */
  connect(topology: Topology): Promise<void>;
  /**
   * Declares a source without consuming it, so that nothing published from now on is missed. Of a private source only its
   * exchanges, which from then on are there whenever something is published. Idempotent.
   */
  declare(source: Source): Promise<void>;
  /** Resolves when the broker has taken responsibility for it; rejects with a typed error, in bounded time. */
  publish(target: Target, message: Message, options?: TransportPublishOptions): Promise<Routed>;
  /** Declares and consumes. Resolves when the bindings are in force; rejects, and never consumes, when `signal` aborts first. */
  consume(source: Source, events: ConsumeEvents, signal?: AbortSignal): Promise<Consumer>;
  /** Whether a reply can be published to an address. Absent: to any. */
  canReply?(address: string): boolean;
  /**
   * Publishes an answer that has to wait for nothing, and tells only by `onFailed` that it was not taken, or may not have been.
   * `false`: nothing was done, and `publish` waits with it. Absent: always.
   */
  tryReply?(address: string, message: Message, timeoutMs: number, onFailed: OnFailed): boolean;
  openReplies(onReply: (message: Message) => void, options?: ReplyOptions): Promise<ReplyPath>;
  /** For operators: numbers and names, never a secret. */
  describe(): Readonly<Record<string, unknown>>;
  /** Idempotent. Sends what is buffered, then closes, by the deadline; what is still unconfirmed rejects BusClosedError. */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
}
