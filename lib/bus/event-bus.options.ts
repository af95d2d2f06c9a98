import type { Constructor } from '../core/constructor.js';
import type { ExchangeHandler } from '../core/exchange.js';
import type { InboxStore } from '../core/inbox.js';
import type { BusLogger } from '../core/logger.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { Serializer } from '../core/serializer.js';
import type { Transport } from '../core/transport.js';
import type { ExchangeType } from '../exchanges/exchange.factory.js';
import type { SerializerName } from '../serializers/serializer.factory.js';
import type { StartupPolicyInput } from '../startup/startup-policy.js';
import type { CacheLimits } from './subscription-cache.js';
import type { UnroutableMessage } from './unroutable-message.js';
import type { UnroutablePolicy } from './unroutable-policy.js';

export interface ConsumeGroupOptions {
  /** `false`: declared, so that nothing becomes unroutable, but not consumed by this process. */
  readonly enabled?: boolean;
  /** Handlers of this group that run at one time in this process. Default 10, and 1 for those that get batches. */
  readonly concurrency?: number;
  /**
   * Unsettled deliveries that the broker may send ahead. Default 2 × concurrency; for batches 2 × size × concurrency, and never
   * less than size × concurrency, whatever is asked for. At most 65 535.
   */
  readonly prefetch?: number;
  /** How long a handler may run, in milliseconds. Default 60 000. */
  readonly timeoutMs?: number;
  /** Policy for failures. Default 1 s, 5 s, 25 s, 125 s, 600 s, then dead-lettered. `false`: one attempt. */
  readonly retry?: false | RetryPolicy;
}

/** Options of one bus; every field is optional and `forRoot()` without any is a bus in memory. */
export interface EventBusOptions {
  /** Names the queues and the source of events. Required by durable transports. */
  readonly service?: string;
  /** Prefix of every declared name: preview environments, several developers on one broker. */
  readonly namespace?: string;
  /** `'memory:'` (default), `'amqp://…'`, options with a `type`, or an own instance. */
  readonly transport?: string | TransportOptions | Transport;
  /** Name of the exchange, or its name and type, or an own routing rule. Default: topic exchange `events`. */
  readonly exchange?: string | ExchangeOptions | ExchangeHandler | Constructor<ExchangeHandler>;
  /**
   * Further exchanges, by name: each with its type, or with a routing rule. `@OnEvent(…, { exchange })` and `publish(…, {
   * exchange })` name them.
   *
   * @example
   * exchanges: { audit: 'fanout', documents: 'headers' }
   */
  readonly exchanges?: Readonly<
    Record<string, ExchangeTypeName | Omit<ExchangeOptions, 'name'> | ExchangeHandler | Constructor<ExchangeHandler>>
  >;
  /**
   * Routing rules of the user's own, which `exchange` and `exchanges` find by their `type`. A class is made with what modules
   * that are global, or imported by `forRootAsync`, provide.
   */
  readonly exchangeHandlers?: readonly (ExchangeHandler | Constructor<ExchangeHandler>)[];
  /** How payloads are written, and read. Default `'json'`. */
  readonly serializer?: SerializerName | Serializer | Constructor<Serializer>;
  /**
   * How payloads may be written besides, so that a group can read two formats while publishers change over. Messages say how
   * they are written; what is neither `serializer` nor here is dead-lettered as `undecodable`. Default: none.
   *
   * @example
   * { serializer: 'msgpack', accept: ['json'] }
   */
  readonly accept?: readonly (SerializerName | Serializer | Constructor<Serializer>)[];
  readonly startup?: {
    /**
     * `wait` (default): the app boots when the broker is ready. It fails with a ConnectionError after `timeoutMs`, and at
     * once when the broker refuses, or with a TopologyConflictError. `background`: boots at once, publishes wait, and these
     * errors are logged.
     */
    readonly mode?: 'wait' | 'background';
    /** How long `wait` waits, in milliseconds. Default 30 000. */
    readonly timeoutMs?: number;
    /**
     * What consumers wait for besides the broker, so that an application works when its peers do. Publishes and `subscribe()`
     * do not wait; a broadcast from before is not received. An array is a sequential chain. With `mode: 'wait'` a policy that
     * fails rejects the start with a StartupPolicyError; with `background` it is logged, and tried again every 10 s.
     * `timeoutMs` does not bound policies: they bound themselves. Default: nothing.
     *
     * @example
     * startup: { policy: handshakeBarrier({ billing: 1 }, { timeoutMs: 60_000 }) }
     */
    readonly policy?: StartupPolicyInput | readonly StartupPolicyInput[];
  };
  readonly publish?: {
    /** Bound for each publish, in milliseconds. Default 10 000. */
    readonly timeoutMs?: number;
    /** Unconfirmed messages in flight. Default 1 000. */
    readonly window?: number;
    /**
     * What becomes of an event that no group gets. Default `warn`: once per topic. `reject`: the publish rejects. `ignore`.
     * `store`: for `popUnroutables()`. `alternate-exchange`: kept by the transport for the group `<exchange>.unroutable`.
     */
    readonly unroutable?: UnroutablePolicy;
    /** How much of what no group got `store` keeps in memory; beyond it the oldest is dropped, and counted. */
    readonly unroutableStore?: {
      /** Default 1 000. */
      readonly messages?: number;
      /** Of bodies, headers and topics. Default 16 MiB. */
      readonly bytes?: number;
    };
    /**
     * Called for each event that no group gets, unless that is to be ignored; nobody waits for it, and what it throws is
     * logged. What it publishes itself should have a group, or `unroutable: 'ignore'`, for it is called for that too.
     *
     * @example
     * onUnroutable: ({ topic, replyText }) => metrics.count('unroutable', { topic, replyText })
     */
    readonly onUnroutable?: (unroutable: UnroutableMessage) => unknown;
    /** What may wait while the broker is away or the window is full. */
    readonly buffer?: {
      /** Default 10 000. */
      readonly messages?: number;
      /** Default 64 MiB. */
      readonly bytes?: number;
      /** `reject` (default) the publish, or let it `wait` for room until its timeout. */
      readonly onFull?: 'reject' | 'wait';
    };
    /**
     * How many handlers may be at work one because of the other, so that handlers that feed each other come to an end: what is
     * published outside of handlers has depth 0, what the handler of that publishes 1, and so on, over all services. What would
     * be deeper is refused with a ChainTooDeepError. 1 to 1 000 000, default 100.
     */
    readonly maxDepth?: number;
    /** Largest body, in bytes. Default 1 MiB. */
    readonly maxMessageBytes?: number;
  };
  readonly consume?: Omit<ConsumeGroupOptions, 'enabled'> & {
    /** Globs of the groups that this process consumes; `false` for none. Default: all. */
    readonly enabled?: boolean | readonly string[];
    /** Handlers that run at one time in this process, all groups together. Default 100. */
    readonly maxConcurrency?: number;
    /**
     * Whether what handlers publish on the bus belongs to the chain of their event, and EventContextHost knows it. Default
     * `true`. `false`: only what `context.emit` publishes does. Spares AsyncLocalStorage, which takes a fifth of the time of a
     * bus in memory on Node 20, if nothing else in the process uses it.
     */
    readonly asyncContext?: boolean;
    /** Policy for messages that no handler here understands (rolling deploys). Default 10 × 30 s, then dead. */
    readonly unmatched?: false | RetryPolicy;
    /** Per group (glob): operations without a rebuild. Wins over the decorator. */
    readonly groups?: Readonly<Record<string, ConsumeGroupOptions>>;
  };
  readonly request?: {
    /** How long `request()` waits for an answer, in milliseconds; then it rejects with a RequestTimeoutError. Default 10 000. */
    readonly timeoutMs?: number;
    /** Whether those who ask are told where a handler's error was thrown: `remoteStack` of the RemoteError. Default `false`. */
    readonly errorStacks?: boolean;
  };
  /**
   * One cache for the whole bus, which `bus.cache()` gives to whoever asks: what `bus.record(patterns)` would make.
   *
   * @example
   * cache: { patterns: ['orders.#', 'payments.#'], policy: 'on-connect', capacity: 1_000 }
   */
  readonly cache?: CacheLimits & {
    /** What it keeps. Required, unless `policy` is `off`. */
    readonly patterns?: string | readonly string[];
    /**
     * `on-demand` (default): it begins with the first `bus.cache()`. `on-connect`: when the bus starts, so that it has all that
     * is published once the application is up; with `startup.mode: 'background'` when the bus has connected. `off`: there is
     * none.
     */
    readonly policy?: CachePolicy;
    /** Name of the exchange, one of the option `exchanges`. Default: the main one. */
    readonly exchange?: string;
  };
  readonly shutdown?: {
    /**
     * By when a drain and a close have ended, in milliseconds. Default 10 000. What is not handled by then is given back to
     * the broker; what is not sent by then rejects with a BusClosedError.
     */
    readonly deadlineMs?: number;
  };
  /**
   * Where `idempotent` handlers remember what they have handled. Default: a `MemoryInboxStore`, which knows neither other
   * processes nor what was before a restart.
   */
  readonly inbox?: InboxStore;
  readonly rendezvous?: {
    /**
     * How long this instance counts as ready after it was last heard of, in milliseconds: how long it still counts when it dies.
     * It makes itself heard three times as often. 1 000 to 3 600 000; default 15 000.
     */
    readonly leaseMs?: number;
  };
  /** `false`: consumers wait for `bus.start()`. Default `true`. */
  readonly autoStart?: boolean;
  /** Default: Nest's Logger. */
  readonly logger?: BusLogger;
}

/** When the general cache begins. */
export type CachePolicy = 'off' | 'on-connect' | 'on-demand';

/** A type of exchange that is built in, or the `type` of one of `exchangeHandlers`. */
export type ExchangeTypeName = ExchangeType | (string & NonNullable<unknown>);

export interface ExchangeOptions {
  /** Default `events`. */
  readonly name?: string;
  /** Default `topic`. */
  readonly type?: ExchangeTypeName;
  /** A routing rule of the user's own, in place of a type. */
  readonly handler?: ExchangeHandler | Constructor<ExchangeHandler>;
}

export interface TransportOptions {
  /** Name of a registered transport: `'memory'`, `'rabbitmq'`. */
  readonly type: string;
  readonly [option: string]: unknown;
}
