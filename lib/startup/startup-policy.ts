import type { Constructor } from '../core/constructor.js';
import type { BusLogger } from '../core/logger.js';

/** An instance that has announced itself. */
export interface StartupMember {
  readonly instanceId: string;
  /** Of its options; empty when it has none. */
  readonly service: string;
  readonly roles: readonly string[];
  /** Since when it is ready, in milliseconds since 1970, by its own clock. */
  readonly since: number;
}

/** What policies need of the rendezvous of instances. */
export interface StartupRendezvous {
  /** Tells everybody that this instance is ready for these roles. */
  announceReady(roles: readonly string[]): Promise<void>;
  /**
   * @param requirements how many instances of each role there must be
   * @throws RendezvousTimeoutError that names the missing roles
   */
  waitUntilReady(
    requirements: Readonly<Record<string, number>>,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<readonly StartupMember[]>;
  /** Those that are known by now. */
  members(): readonly StartupMember[];
}

/** What a policy is given. */
export interface StartupContext {
  /** Name of the bus. */
  readonly bus: string;
  /** The option `service`. */
  readonly service: string | undefined;
  readonly rendezvous: StartupRendezvous;
  readonly logger: BusLogger;
  /** Aborted when the bus closes, or when another policy of a parallel chain has failed. */
  readonly signal: AbortSignal;
}

/**
 * Decides when consumers may start. Queues are bound and publishes go out meanwhile.
 *
 * @example
 * @Injectable()
 * export class MigratedPolicy implements StartupPolicy {
 *   constructor(private readonly database: Database) {}
 *   async waitUntilReady({ signal }: StartupContext): Promise<void> {
 *     await this.database.migrated({ signal });
 *   }
 * }
 * @publicApi
 */
export interface StartupPolicy {
  /** Says in errors and logs which policy it is. Default: the name of its class. */
  readonly name?: string;
  /**
   * Resolves when consumers may start, and rejects when they must not. Bounds its own time: nothing else does. Ends soon after
   * `context.signal` is aborted; it is not waited for when the bus closes. May be called again after it has rejected.
   */
  waitUntilReady(context: StartupContext): Promise<void>;
}

/** A policy in one function; it is called by the name of the function. */
export type StartupFunction = (context: StartupContext) => Promise<void>;

export interface NoWaitPolicyOptions {
  readonly type: 'no-wait';
}

export interface FixedDelayPolicyOptions {
  readonly type: 'fixed-delay';
  /** In milliseconds. */
  readonly delayMs: number;
}

export interface HandshakeBarrierOptions {
  /** How long to wait for the peers, in milliseconds. Default 30 000. */
  readonly timeoutMs?: number;
  /** When peers are missing after that: `fail` the start (default), or `continue` without them, with a warning. */
  readonly onTimeout?: 'fail' | 'continue';
  /**
   * Roles that this instance announces before it waits, so that instances that wait for each other meet. Default: none, and
   * the application announces itself when it is ready. They take the place of roles that were announced before.
   */
  readonly announce?: readonly string[];
}

export interface HandshakeBarrierPolicyOptions extends HandshakeBarrierOptions {
  readonly type: 'handshake-barrier';
  /** How many instances of each role there must be. */
  readonly requirements: Readonly<Record<string, number>>;
}

export interface PolicyChainOptions {
  /** `sequential` (default): one after the other. `parallel`: all at one time. */
  readonly mode?: 'sequential' | 'parallel';
  /**
   * `true` (default): the first failure fails the chain; those that run besides are aborted, and waited for. `false`: failures
   * are logged, and all policies have their turn.
   */
  readonly failFast?: boolean;
}

export interface ChainPolicyOptions extends PolicyChainOptions {
  readonly type: 'chain';
  readonly policies: readonly StartupPolicyInput[];
}

/** Policies as data, which configuration files can hold. */
export type StartupPolicyOptions =
  | NoWaitPolicyOptions
  | FixedDelayPolicyOptions
  | HandshakeBarrierPolicyOptions
  | ChainPolicyOptions;

/** A policy, a function that is one, its class, which is made with what modules provide, or its data. */
export type StartupPolicyInput = StartupPolicy | StartupFunction | Constructor<StartupPolicy> | StartupPolicyOptions;
