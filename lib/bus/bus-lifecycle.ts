import { withDeadline } from '../core/deadline.js';
import { BusClosedError, ConnectionError } from '../core/errors.js';
import type { Exchange } from '../core/exchange.js';
import type { ActiveGroup, Consumption } from './consumption.js';
import type { EventBusParts } from './event-bus.parts.js';
import { defineGroups, type HandlerRegistration } from './group-definition.js';

export type EventBusStatus = 'idle' | 'starting' | 'up' | 'degraded' | 'down' | 'closed';

/** The steps of a bus's life, each taken once and in order: prepare, start, drain, close. */
export class BusLifecycle {
  private phase: 'idle' | 'starting' | 'ready' | 'failed' | 'closed' = 'idle';
  private decorated: readonly ActiveGroup[] = [];
  private preparing: Promise<void> | undefined;
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  private readonly end = new AbortController();
  private drainedBy = 0;

  constructor(
    private readonly parts: EventBusParts,
    private readonly consumption: Consumption,
    private readonly exchanges: readonly Exchange[],
  ) {}

  get status(): EventBusStatus {
    if (this.phase === 'closed' || this.phase === 'idle') return this.phase;
    const { state } = this.parts.transport.connection;
    if (this.phase === 'failed' || state === 'closed') return 'down';
    if (this.phase === 'starting') return 'starting';
    if (state === 'blocked') return 'degraded';
    if (state !== 'up') return 'down';
    return [...this.consumption.groups].some((group) => group.state === 'recovering') ? 'degraded' : 'up';
  }

  /** Aborted when nothing is consumed any more. */
  get ended(): AbortSignal {
    return this.end.signal;
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
    this.starting ??= this.startConsumers();
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
    const { options, exchange, transport, logger } = this.parts;
    const definitions = defineGroups(registrations, options, exchange, transport.capabilities);
    this.phase = 'starting';
    this.decorated = definitions.map((definition) => this.consumption.add(definition));
    const sources = this.decorated.filter((g) => g.definition.delivery === 'shared').map((g) => g.source);
    const connected = transport.connect({ exchanges: this.exchanges, sources }).then(
      () => {
        if (this.phase === 'starting') this.phase = 'ready';
      },
      (error: unknown) => {
        this.phase = 'failed';
        throw error;
      },
    );
    const { mode, timeoutMs } = options.startup;
    if (mode === 'background') {
      connected.catch((error: unknown) =>
        logger.error(`The event bus cannot start: ${error instanceof Error ? error.message : String(error)}`),
      );
      return;
    }
    await withDeadline(
      connected,
      timeoutMs,
      () =>
        new ConnectionError(
          `The broker ${transport.connection.endpoint} was not ready within ${timeoutMs} ms. Start it, raise startup.timeoutMs, or use startup.mode 'background'.`,
        ),
    );
  }

  private async startConsumers(): Promise<void> {
    const { logger, options } = this.parts;
    const enabled = this.decorated.filter((group) => group.definition.policy.enabled);
    const shared = enabled.filter((group) => group.definition.delivery === 'shared');
    const started = Promise.all([
      ...enabled.map((group) => this.consumption.start(group)),
      this.consumption.startHub(shared),
    ]);
    const { mode, timeoutMs } = options.startup;
    if (mode === 'wait') {
      await withDeadline(
        started,
        timeoutMs,
        () => new ConnectionError(`The consumers could not start within ${timeoutMs} ms: the broker went away.`),
      );
      return;
    }
    started.catch((error: unknown) => {
      if (!this.closing)
        logger.error(`A consumer cannot start: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  private async stopConsumers(): Promise<void> {
    const { deadlineMs } = this.parts.options.shutdown;
    this.drainedBy = Date.now() + deadlineMs;
    await this.consumption.close(deadlineMs);
    this.end.abort();
  }

  private async shutDown(): Promise<void> {
    const { transport, options } = this.parts;
    const { deadlineMs } = options.shutdown;
    await this.drain();
    // what draining has left of the time, but enough to say goodbye
    const left = this.drainedBy - Date.now();
    await transport.close({ deadlineMs: Math.max(Math.min(1_000, deadlineMs), left) });
    this.phase = 'closed';
  }
}
