import { pause, withDeadline } from '../core/deadline.js';
import {
  ConfigurationError,
  ConnectionError,
  EventBusError,
  PublishTimeoutError,
  UnroutableError,
} from '../core/errors.js';
import { describeError } from '../core/failure.js';
import type { Message } from '../core/message.js';
import type { Routed, Source, Transport, TransportPublishOptions } from '../core/transport.js';
import type { BusExchange, BusExchanges, ExchangeTarget } from './bus-exchanges.js';
import { qualify, type ResolvedOptions } from './resolved-options.js';

/** How often one event is sent there: its queue may have been deleted, which shows when it comes back once more. */
const TRIES = 2;
/** Between two tries to declare a queue while the connection is away. */
const AGAIN_MS = 100;

/** A queue that is being declared, or was. */
interface Standing {
  readonly made: Promise<void>;
  isMade: boolean;
}

/** Sends a message to an exchange, as the last step of a publish does. */
export type Send = (
  target: ExchangeTarget,
  message: Message,
  options: TransportPublishOptions,
) => Promise<Pick<Routed, 'returned'> & { readonly routed?: boolean }>;

/** How long one event may be on its way. */
export interface AlternateTime {
  /** Milliseconds since 1970. */
  readonly end: number;
  /** What `end` came from, for the error. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface AlternateQueuesParts {
  readonly options: ResolvedOptions;
  readonly exchanges: BusExchanges;
  readonly transport: Transport;
  /** The source of a group that has a handler here, by its full name. */
  readonly sourceOf: (group: string) => Source | undefined;
}

/**
 * Where what no group gets is kept: behind the alternate exchange of each exchange there is a queue like that of any group,
 * which waits for somebody to handle it. The publisher sends there what came back.
 */
export class AlternateQueues {
  private readonly standing = new Map<BusExchange, Standing>();

  constructor(private readonly parts: AlternateQueuesParts) {
    if (!this.areDeclared) return;
    // by the time anything comes back they stand, for nothing is sent before the topology
    for (const alternate of parts.exchanges.alternates)
      this.standing.set(alternate, { made: Promise.resolve(), isMade: true });
  }

  /** Those that belong to the topology; others are declared when something has to go there. */
  get sources(): readonly Source[] {
    return this.areDeclared ? this.parts.exchanges.alternates.map((alternate) => this.sourceOf(alternate)) : [];
  }

  /** Names of all their groups, declared or not, as the broker knows them. */
  get groups(): readonly string[] {
    return this.parts.exchanges.alternates.map((alternate) => this.groupOf(alternate));
  }

  /**
   * Resolves when a message is safe there.
   *
   * @throws UnroutableError when even there no queue takes it; PublishTimeoutError, and all that `send` rejects with
   */
  async keep(exchange: BusExchange, message: Message, time: AlternateTime, send: Send): Promise<void> {
    const alternate = this.parts.exchanges.alternateOf(exchange);
    if (!alternate) throw new ConfigurationError(`"${exchange.name}" has no alternate exchange.`);
    const { end, timeoutMs, signal } = time;
    const left = (): number => Math.min(timeoutMs, Math.max(1, end - Date.now()));
    for (let tries = 0; tries < TRIES; tries++) {
      const standing = this.stand(alternate);
      if (!standing.isMade) {
        const late = (): Error => new PublishTimeoutError(message.topic, timeoutMs, false);
        await withDeadline(standing.made, left(), late, signal);
      }
      const options: TransportPublishOptions = { timeoutMs: left(), onFull: 'wait', ...(signal && { signal }) };
      const { routed } = await send(alternate.events, message, options);
      if (routed !== false) return;
      // others that came back for the same reason find another one in its place
      if (this.standing.get(alternate) === standing) this.standing.delete(alternate);
    }
    throw new UnroutableError(exchange.events.exchange.name, message.topic, alternate.events.exchange.name);
  }

  private get areDeclared(): boolean {
    return this.parts.options.publish.unroutable === 'alternate-exchange';
  }

  private stand(alternate: BusExchange): Standing {
    const known = this.standing.get(alternate);
    if (known) return known;
    const standing: Standing = { made: this.declare(this.sourceOf(alternate)), isMade: false };
    this.standing.set(alternate, standing);
    standing.made.then(
      () => {
        standing.isMade = true;
      },
      () => {
        // whoever waits is told; who comes later tries again
        if (this.standing.get(alternate) === standing) this.standing.delete(alternate);
      },
    );
    return standing;
  }

  /** Waits for a connection that comes back, as a publish does. */
  private async declare(source: Source): Promise<void> {
    const { transport, options } = this.parts;
    for (const end = Date.now() + options.publish.timeoutMs; ; ) {
      try {
        await transport.declare(source);
        return;
      } catch (error) {
        if (error instanceof EventBusError && !error.retryable) throw error;
        if (Date.now() + AGAIN_MS >= end) {
          throw new ConnectionError(`Queue "${source.group}" could not be declared: ${describeError(error)}`, {
            cause: error,
          });
        }
        await pause(AGAIN_MS);
      }
    }
  }

  private groupOf({ keptBy = '' }: BusExchange): string {
    return qualify(this.parts.options, keptBy);
  }

  /** As its handler wants it, if there is one here: who declares a queue otherwise is refused. */
  private sourceOf(alternate: BusExchange): Source {
    const group = this.groupOf(alternate);
    return (
      this.parts.sourceOf(group) ?? {
        group,
        bindings: [{ exchange: alternate.events.exchange, pattern: '#' }],
        owner: group,
        deadLetterGroup: group,
        prefetch: 1,
      }
    );
  }
}
