import { setMaxListeners } from 'node:events';
import { Observable, Subject } from 'rxjs';
import type { ControlChannel, ControlSendOptions } from '../bus/control-channel.js';
import { BusClosedError, ConfigurationError, ConnectionError, PublishTimeoutError } from '../core/errors.js';
import type { Exchange } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import { DEFAULTS, LIMITS } from '../core/limits.js';
import type { BusLogger } from '../core/logger.js';
import { abortSignal, assertValid, integer, shape } from '../core/options.js';
import { Announcer } from './announcer.js';
import type { Release } from './attention.js';
import { Ears } from './ears.js';
import { Glance } from './glance.js';
import type { Member, MembershipChange } from './member.js';
import { Requirements } from './requirements.js';
import { areSameRoles, checkRoles } from './roles.js';
import { Roster } from './roster.js';
import { Voice } from './voice.js';
import { Waiters } from './waiters.js';

/** After a look at the members they are kept up to date for so long. */
const GLANCE_MS = 60_000;
/** Who fails or stops does not wait longer for a broker that may be away. */
const FAREWELL_MS = 1_000;
const WAIT_SHAPE = shape({ timeoutMs: integer(1, 86_400_000), signal: abortSignal });

export interface WaitUntilReadyOptions {
  /** How long to wait for all of them, in milliseconds. Default 30 000. */
  readonly timeoutMs?: number;
  /** Ends the wait, which then rejects with its reason. */
  readonly signal?: AbortSignal;
}

export interface RendezvousParts {
  readonly control: ControlChannel;
  readonly service: string;
  /** The main exchange. */
  readonly main: Exchange;
  readonly leaseMs: number;
  /** How long to wait for the broker. */
  readonly startupTimeoutMs: number;
  /** Whether the bus connects, or has connected. */
  readonly isPrepared: () => boolean;
  readonly logger: BusLogger;
}

/**
 * Instances find each other: each says in which roles it is ready, and waits until those that it needs are. All buses with the
 * same main exchange and namespace meet, whatever its type and their serializers. Who dies without a word is gone when its
 * lease ends, 15 s later unless its `rendezvous.leaseMs` says otherwise.
 *
 * @example
 * await rendezvous.announceReady(['worker']);
 * const workers = await rendezvous.waitUntilReady({ worker: 2, 'db.*': 1 });
 * @publicApi
 */
export class RendezvousService {
  private readonly voice: Voice;
  private readonly ears: Ears;
  private readonly announcer: Announcer;
  private readonly roster = new Roster((kind, before, after) => this.onChange(kind, before, after));
  private readonly waiters = new Waiters(
    () => this.roster.members,
    () => this.announcer.member !== undefined,
    () => this.ears.ask(),
  );
  private readonly glance = new Glance(
    GLANCE_MS,
    () => this.watch(this.end.signal),
    (error) => this.warn('The other instances are not known', error),
  );
  private readonly changed = new Subject<MembershipChange>();
  private readonly end = new AbortController();
  /** Announcing and taking back, one after the other. */
  private turn: Promise<unknown> = Promise.resolve();
  private announced: Release | undefined;
  private isFull = false;

  constructor(private readonly parts: RendezvousParts) {
    const { control, logger, leaseMs } = parts;
    setMaxListeners(0, this.end.signal);
    this.voice = new Voice(control);
    this.announcer = new Announcer({ voice: this.voice, leaseMs, logger });
    this.ears = new Ears(
      { ...parts, voice: this.voice, signal: this.end.signal },
      {
        onReady: (ready) => {
          if (this.roster.take(ready.member, ready.leaseMs, ready.isSinceTold) === 'full') this.warnOfCrowd();
        },
        onLeft: (id) => this.roster.drop(id),
        onQuery: () => this.announcer.ask(),
        onGap: () => this.onGap(),
        onDeaf: () => this.roster.clear(),
      },
    );
    control.onDeparture(() => this.depart());
  }

  /**
   * Tells everybody that this instance is ready in these roles; they take the place of those that it had before. It stays so
   * until `withdraw`, or the bus stops. Resolves when the broker has confirmed it.
   *
   * @param roles 1 to 64, each of 1 to 128 characters; dots are usual, and mean nothing
   * @throws ConfigurationError for roles that are none, and before the bus has begun to connect (in a constructor or a factory)
   * @throws ConnectionError when the broker cannot be reached within `startup.timeoutMs`; all with which a publish rejects
   * @example await rendezvous.announceReady(['worker', 'worker.images']);
   * @publicApi
   */
  async announceReady(roles: readonly string[]): Promise<void> {
    const own = checkRoles(roles);
    this.assertUsable('announce an instance');
    await this.inTurn(async () => {
      this.end.signal.throwIfAborted();
      const before = this.announcer.member;
      const member = before && areSameRoles(before.roles, own) ? before : this.member(own);
      const release = this.announced ?? (await this.ears.hold(this.parts.startupTimeoutMs, this.end.signal));
      try {
        await this.announcer.announce(member, this.end.signal);
      } catch (error) {
        if (!this.announced) await Promise.all([release(), this.unsay(error)]);
        throw error;
      }
      this.announced = release;
      this.roster.take(member, Number.POSITIVE_INFINITY);
    });
  }

  /**
   * Takes it back: this instance is in no role any more. Resolves when the broker has confirmed it; without an announcement at
   * once. Stopping the bus does the same.
   *
   * @throws what a publish rejects with; then it counts as ready until its lease ends
   * @publicApi
   */
  async withdraw(): Promise<void> {
    await this.inTurn(() => this.leave({}));
  }

  /**
   * Who is ready, this instance included, as far as is known. It is kept up to date while this instance has announced itself,
   * somebody waits or watches, and for a minute after each call; before that it is empty, so that the first call gives what is
   * known by then, and asks everybody.
   *
   * @publicApi
   */
  members(): readonly Member[] {
    if (!this.end.signal.aborted && this.parts.isPrepared()) this.glance.look();
    return this.roster.members;
  }

  /**
   * Waits until enough instances are ready. Those that have announced themselves long ago count as those that still come, and
   * this instance as any other.
   *
   * @param requirements by role how many different instances are wanted, 1 or more. `*` in a role stands for any characters, `?`
   *   for one. One instance counts for each pattern that it fits.
   * @returns those that fit one of the patterns
   * @throws RendezvousTimeoutError with who is missing, when they have not come in time
   * @throws ConfigurationError for requirements that are none or empty, and before the bus has begun to connect (in a constructor
   *   or a factory), when nobody could come
   * @throws TopologyConflictError, ConnectionError (refused for good), BusClosedError, the reason of the signal
   * @example await rendezvous.waitUntilReady({ 'worker.*': 2, db: 1 }, { timeoutMs: 10_000 });
   * @publicApi
   */
  async waitUntilReady(
    requirements: Readonly<Record<string, number>>,
    options: WaitUntilReadyOptions = {},
  ): Promise<readonly Member[]> {
    const wanted = new Requirements(requirements);
    assertValid(WAIT_SHAPE, options, '');
    this.assertUsable('wait for other instances');
    const { timeoutMs = DEFAULTS.rendezvousTimeoutMs, signal } = options;
    const stop = signal ? AbortSignal.any([this.end.signal, signal]) : this.end.signal;
    stop.throwIfAborted();
    const until = performance.now() + timeoutMs;
    let release: Release;
    try {
      release = await this.ears.watch(timeoutMs, stop);
    } catch (error) {
      if (stop.aborted || !(error instanceof ConnectionError && error.retryable)) throw error;
      throw this.waiters.late(wanted, timeoutMs, error);
    }
    try {
      const here = new Requirements(requirements, this.roster.members);
      return await this.waiters.meet(here, { timeoutMs, until, signal: stop });
    } finally {
      void release(); // never rejects, and nobody has to wait for it
    }
  }

  /**
   * Who comes and goes, from now on. Ends with the bus.
   *
   * @returns errors when the broker cannot be reached within `startup.timeoutMs`
   * @example rendezvous.changes().subscribe(({ kind, member }) => console.log(member.service, kind));
   * @publicApi
   */
  changes(): Observable<MembershipChange> {
    return new Observable((subscriber) => {
      const changes = this.changed.subscribe(subscriber);
      const stop = new AbortController();
      const watching = this.watch(AbortSignal.any([stop.signal, this.end.signal]));
      watching.catch((error: unknown) => {
        if (!this.end.signal.aborted) subscriber.error(error);
      });
      return () => {
        changes.unsubscribe();
        stop.abort();
        watching.then(
          (release) => release(),
          () => undefined, // told above
        );
      };
    });
  }

  private onChange(kind: MembershipChange['kind'], before: Member | undefined, after: Member | undefined): void {
    this.waiters.change(before, after);
    const member = after ?? before;
    if (this.changed.observed && member) this.changed.next({ kind, member, members: this.roster.members });
  }

  /** What was said meanwhile is lost: the others say it again, and so does this one. */
  private onGap(): void {
    this.announcer.ask();
    this.query();
  }

  private async watch(signal: AbortSignal): Promise<Release> {
    const release = await this.ears.watch(this.parts.startupTimeoutMs, signal);
    this.query();
    return release;
  }

  private query(): void {
    this.ears.ask().catch((error: unknown) => this.warn('The other instances could not be asked who is ready', error));
  }

  private warn(text: string, error: unknown): void {
    if (!this.end.signal.aborted) this.parts.logger.warn(`${text}: ${describeError(error)}`);
  }

  private async leave(options: ControlSendOptions): Promise<void> {
    const { announced: release } = this;
    if (!release) return;
    this.announced = undefined;
    this.announcer.retire();
    this.roster.drop(this.voice.instanceId);
    try {
      await this.voice.left(options);
    } finally {
      await release();
    }
  }

  /** Of an announcement that failed, and may have been heard all the same. */
  private async unsay(error: unknown): Promise<void> {
    if (!this.end.signal.aborted && !(error instanceof PublishTimeoutError && error.sent)) return;
    try {
      await this.voice.left({ timeoutMs: FAREWELL_MS });
    } catch {
      // whoever has heard it counts it until its lease ends; the announcement fails by its own error
    }
  }

  private async depart(): Promise<void> {
    this.end.abort(new BusClosedError('meet other instances'));
    this.glance.end();
    this.changed.complete();
    await this.inTurn(() => this.leave({ timeoutMs: FAREWELL_MS }));
    this.roster.clear();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined); // whoever began it is told
    return done;
  }

  private member(roles: readonly string[]): Member {
    const { service } = this.parts;
    return Object.freeze({ instanceId: this.voice.instanceId, service, roles, since: Date.now() });
  }

  private assertUsable(what: string): void {
    if (this.end.signal.aborted) throw new BusClosedError(what);
    if (this.parts.isPrepared()) return;
    throw new ConfigurationError(
      `Cannot ${what} yet: the bus connects after all providers have been made, so nobody could come. Do it in onModuleInit or later, not in a constructor or a factory.`,
    );
  }

  private warnOfCrowd(): void {
    if (this.isFull) return;
    this.isFull = true;
    this.parts.logger.warn(`More than ${LIMITS.members} instances are ready: those beyond are not counted.`);
  }
}
