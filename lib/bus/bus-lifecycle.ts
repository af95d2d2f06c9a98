import { pause, withDeadline } from '../core/deadline.js';
import { BusClosedError, ConnectionError } from '../core/errors.js';
import type { Binding } from '../core/exchange.js';
import { describeError } from '../core/failure.js';
import type { RecordedBinding } from '../core/group-record.js';
import type { AlternateQueues } from './alternate-queues.js';
import type { BusExchanges } from './bus-exchanges.js';
import type { ActiveGroup, Consumption } from './consumption.js';
import type { EventBusParts } from './event-bus.parts.js';
import { defineGroups, type HandlerRegistration } from './group-definition.js';
import { GroupRecordKeeper } from './group-record.keeper.js';
import { StartGate } from './start-gate.js';

export type EventBusStatus = 'idle' | 'starting' | 'up' | 'degraded' | 'down' | 'closed';

/** Between two tries to start what the broker or a startup policy has refused: somebody has to mend it. */
const RESTART_MS = 10_000;
const NO_LEFTOVERS = Object.freeze({ vanished: Object.freeze([]), stale: Object.freeze([]) });

/** The steps of a bus's life, each taken once and in order: prepare, start, drain, close. */
export class BusLifecycle {
  private phase: 'idle' | 'starting' | 'ready' | 'closed' = 'idle';
  private decorated: readonly ActiveGroup[] = [];
  private preparing: Promise<void> | undefined;
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  private keeper: GroupRecordKeeper | undefined;
  /** Settles when the transport has connected, or cannot. Never rejects. */
  private connected: Promise<void> | undefined;
  private readonly gate: StartGate | undefined;
  private readonly end = new AbortController();
  private endBy = 0;

  constructor(
    private readonly parts: EventBusParts,
    private readonly consumption: Consumption,
    private readonly exchanges: BusExchanges,
    private readonly alternates: AlternateQueues,
    /** Waits for publishes that the transport must not see as new ones when it closes. */
    private readonly settle: (deadlineMs: number) => Promise<unknown>,
    /** Done as a part of the start, as soon as the transport has connected. */
    private readonly onConnected: () => Promise<void>,
  ) {
    this.gate = parts.gate && new StartGate(parts.gate, parts.logger);
  }

  get status(): EventBusStatus {
    if (this.phase === 'closed' || this.phase === 'idle') return this.phase;
    const { state } = this.parts.transport.connection;
    if (this.phase === 'starting' || this.gate?.isWaiting) return 'starting';
    if (state === 'blocked') return 'degraded';
    if (state !== 'up' || this.parts.transport.obstacle) return 'down';
    return [...this.consumption.groups].some((group) => group.state === 'recovering') ? 'degraded' : 'up';
  }

  /** What is written down of the service's groups, and differs from those of this process. */
  get leftovers(): Pick<GroupRecordKeeper, 'vanished' | 'stale'> {
    return this.keeper ?? NO_LEFTOVERS;
  }

  /** Aborted when nothing is consumed any more. */
  get ended(): AbortSignal {
    return this.end.signal;
  }

  /** Whether its consumers have been told to start. */
  get hasBegun(): boolean {
    return this.starting !== undefined;
  }

  get isClosing(): boolean {
    return this.draining !== undefined || this.closing !== undefined;
  }

  prepare(registrations: readonly HandlerRegistration[]): Promise<void> {
    this.preparing ??= this.declare(registrations);
    return this.preparing;
  }

  start(): Promise<void> {
    if (this.isClosing) return Promise.reject(new BusClosedError('start'));
    this.starting ??= this.gate ? this.startBehind(this.gate) : this.startConsumers();
    return this.starting;
  }

  drain(): Promise<void> {
    this.draining ??= this.stopConsumers();
    return this.draining;
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async declare(registrations: readonly HandlerRegistration[]): Promise<void> {
    const { options, transport, logger } = this.parts;
    const definitions = defineGroups(registrations, options, this.exchanges, transport.capabilities);
    this.warnOfStrangers(definitions.map(({ name }) => name));
    this.phase = 'starting';
    this.decorated = definitions.map((definition) => this.consumption.add(definition));
    const handled = this.decorated.filter((g) => g.definition.delivery === 'shared').map((g) => g.source);
    const sources = [...new Set([...handled, ...this.alternates.sources])];
    const exchanges = this.exchanges.declared.flatMap(({ events, broadcasts }) => [
      events.exchange,
      ...(broadcasts ? [broadcasts.exchange] : []),
    ]);
    const connected = transport.connect({ exchanges, sources }).then(
      () => {
        if (this.phase === 'starting') this.phase = 'ready';
        return this.onConnected();
      },
      (error: unknown) => {
        // the transport goes on with what it can, and tells what it cannot
        if (this.phase === 'starting') this.phase = 'ready';
        throw error;
      },
    );
    const { mode, timeoutMs } = options.startup;
    this.connected = connected.catch(() => undefined); // told below
    if (mode === 'background') {
      connected.catch((error: unknown) => {
        if (!this.isClosing) logger.error(`The event bus cannot start as it should: ${describeError(error)}`);
      });
      return;
    }
    await withDeadline(connected, timeoutMs, () => {
      const { endpoint, trouble } = transport.connection;
      return new ConnectionError(
        `The broker ${endpoint} was not ready within ${timeoutMs} ms${trouble === undefined ? '' : ` (${trouble})`}. Start it, raise startup.timeoutMs, or use startup.mode 'background'.`,
      );
    });
  }

  /** A name that is none of a group tunes nothing; a glob may be meant for other services that share the options. */
  private warnOfStrangers(groups: readonly string[]): void {
    const { options, logger } = this.parts;
    for (const name of Object.keys(options.consume.groups)) {
      if (name.includes('*') || groups.includes(name)) continue;
      logger.warn(
        `consume.groups: there is no group "${name}" here. Names of groups are written without the namespace.`,
      );
    }
  }

  private async startBehind(gate: StartGate): Promise<void> {
    if (this.parts.options.startup.mode === 'background') {
      void this.startLater(gate);
      return;
    }
    try {
      await gate.pass();
    } catch (error) {
      this.starting = undefined; // nothing was started, so whoever calls `start` again may have more luck
      throw error;
    }
    await this.startConsumers();
  }

  /** Never rejects: in the background consumers see for themselves that they start. */
  private async startLater(gate: StartGate): Promise<void> {
    if ((await gate.passAtLast(RESTART_MS, this.connected)) === 'open') await this.startConsumers();
  }

  private async startConsumers(): Promise<void> {
    const { options } = this.parts;
    await this.startAll();
    this.keeper = this.createKeeper(options.service);
    // in the background it would be asked before there is a connection; `run` never rejects, and ends with `stopConsumers`
    void this.connected?.then(() => this.keeper?.run());
  }

  private createKeeper(service: string | undefined): GroupRecordKeeper | undefined {
    const { transport, logger, options, record: suffix } = this.parts;
    const { groupRecord: record } = transport;
    const { exchange } = this.exchanges.main.events;
    if (!record || service === undefined || this.isClosing) return undefined;
    const shared = this.decorated.filter((group) => group.definition.delivery === 'shared');
    const { unmatched } = options.consume;
    return new GroupRecordKeeper({
      record,
      key: `${exchange.name}.groups.${service}${suffix === undefined ? '' : `.${suffix}`}`,
      present: shared.map(({ source, definition }) => ({
        name: source.queue?.name ?? source.group ?? source.owner,
        exchange: this.exchanges.get(definition.exchange).events.exchange.name,
        bindings: source.bindings.map(toRecorded),
        delaysMs: [...definition.policy.retry.delaysMs, ...unmatched.delaysMs],
        unbind: (source.unbind ?? []).map(toRecorded),
      })),
      namespace: options.namespace,
      previous: shared.flatMap(({ source }) => source.previous ?? []),
      unhandled: this.alternates.groups,
      unbind: () => Promise.all(shared.flatMap(({ source }) => (source.unbind ? transport.declare(source) : []))),
      logger,
    });
  }

  private async startAll(): Promise<void> {
    const { options } = this.parts;
    const enabled = this.decorated.filter((group) => group.definition.policy.enabled);
    const shared = enabled.filter((group) => group.definition.delivery === 'shared');
    const starts = [
      ...enabled.map((group) => () => this.consumption.start(group)),
      ...this.consumption.hubStarts(shared),
    ];
    const { mode, timeoutMs } = options.startup;
    if (mode === 'background') {
      for (const start of starts) void this.keepStarting(start);
      return;
    }
    await withDeadline(
      Promise.all(starts.map((start) => start())),
      timeoutMs,
      () => new ConnectionError(`The consumers could not start within ${timeoutMs} ms: the broker went away.`),
    );
  }

  /** Until it has started or everything stops; says once why it cannot. Never rejects. */
  private async keepStarting(start: () => Promise<void>): Promise<void> {
    const { logger } = this.parts;
    for (let tries = 1; !this.isClosing; tries++) {
      try {
        await start();
        return;
      } catch (error) {
        if (tries === 1 && !this.isClosing) logger.error(`A consumer cannot start: ${describeError(error)}`);
        await pause(RESTART_MS, this.end.signal);
      }
    }
  }

  private async stopConsumers(): Promise<void> {
    const { deadlineMs } = this.parts.options.shutdown;
    this.endBy = Date.now() + deadlineMs;
    this.gate?.close();
    this.keeper?.stop();
    await this.consumption.close(deadlineMs - farewellMs(deadlineMs));
    this.end.abort();
  }

  private async shutDown(): Promise<void> {
    const { transport, options } = this.parts;
    const { deadlineMs } = options.shutdown;
    await this.drain();
    // other modules may have taken their time since
    await this.settle(Math.max(0, this.endBy - Date.now() - farewellMs(deadlineMs)));
    const left = this.endBy - Date.now();
    await transport.close({ deadlineMs: Math.max(farewellMs(deadlineMs), left) });
    this.phase = 'closed';
  }
}

function toRecorded({ exchange, pattern = '#' }: Binding): RecordedBinding {
  return { exchange: exchange.name, pattern };
}

/** Of the time to close, what is kept for sending the last publishes and saying goodbye. */
function farewellMs(deadlineMs: number): number {
  return Math.min(1_000, deadlineMs / 5);
}
