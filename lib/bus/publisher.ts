import { withDeadline } from '../core/deadline.js';
import { BusClosedError, ConfigurationError, NoHandlerError } from '../core/errors.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { assertValid } from '../core/options.js';
import { compose, type Middleware } from '../core/pipeline.js';
import { validate } from '../core/schema.js';
import type { Serializer } from '../core/serializer.js';
import type { Returned, Routed, Target, Transport, TransportPublishOptions } from '../core/transport.js';
import type { AlternateQueues } from './alternate-queues.js';
import type { BusExchanges } from './bus-exchanges.js';
import type { PublishCounters } from './event-bus.stats.js';
import type { Emission } from './event-context.js';
import type { EventDefinition } from './event-definition.js';
import type { HandlerScope } from './handler-scope.js';
import { MessageEncoder } from './message-encoder.js';
import { PUBLISH_OPTIONS } from './publish-option-checks.js';
import type { EventPublishOptions, PublishReceipt } from './publish-options.js';
import type { Unroutables } from './unroutables.js';

const AS_THE_BUS: TransportPublishOptions = Object.freeze({});
const WAIT: TransportPublishOptions = Object.freeze({ onFull: 'wait' });
const NO_OPTIONS: EventPublishOptions = Object.freeze({});

/** To one member of each group, to every instance, or to whoever handles the command. */
export type PublishKind = 'events' | 'broadcasts' | 'commands';

interface Stored {
  readonly state: 'confirmed' | 'stored';
  readonly routed?: boolean;
  readonly returned?: Returned;
}

/** What became of a message, and what a middleware has made of it before it was sent. */
type Sent = (Stored | Routed) & { readonly message?: Message };

/** The last step of a publish. An outbox takes the place of the direct one and answers `stored`. */
export interface PublishStage {
  send(target: Target, message: Message, options: TransportPublishOptions): Promise<Stored | Routed>;
}

export interface PublisherOptions {
  readonly service: string | undefined;
  readonly exchanges: BusExchanges;
  readonly transport: Transport;
  readonly serializer: Serializer;
  /** Default for each publish. */
  readonly timeoutMs: number;
  readonly unroutables: Unroutables;
  readonly alternates: AlternateQueues;
  readonly maxMessageBytes: number;
  readonly maxDepth: number;
  readonly counters: PublishCounters;
  readonly scope: HandlerScope;
  readonly logger: BusLogger;
  readonly middleware?: readonly Middleware<{ message: Message }>[] | undefined;
  /** Default: straight to the transport. */
  readonly stage?: PublishStage | undefined;
}

/** The way out: schema, serializer, limits, frozen message, middleware, stage, receipt. */
export class Publisher {
  private readonly stage: PublishStage;
  private readonly encoder: MessageEncoder;
  /** Those that wait for the broker, and may then have to be sent once more. */
  private readonly underWay = new Set<Promise<unknown>>();
  private readonly around: ReturnType<typeof compose<{ message: Message }>> | undefined;

  constructor(private readonly options: PublisherOptions) {
    this.encoder = new MessageEncoder(options);
    this.stage = options.stage ?? { send: (target, message, o) => options.transport.publish(target, message, o) };
    if (options.middleware && options.middleware.length > 0) this.around = compose(options.middleware);
  }

  /**
   * @param definition what is known of the event when it has a class or a definition
   * @param wait for room in a full buffer, whatever the bus is set to
   * @param emission for what a handler has emitted
   */
  publish(
    kind: PublishKind,
    topic: string,
    payload: unknown,
    options: EventPublishOptions = NO_OPTIONS,
    definition?: EventDefinition,
    wait = false,
    emission?: Emission,
  ): Promise<PublishReceipt> {
    const sent = this.publishNow(kind, topic, payload, options, definition, wait, emission);
    if (this.mayGoTwice(options)) this.remember(sent);
    return sent;
  }

  /** Waits for those that may have to be sent once more, to an alternate exchange, but not for what is published meanwhile. */
  async settle(deadlineMs: number): Promise<void> {
    const late = (): Error => new BusClosedError('wait longer');
    await withDeadline(Promise.allSettled([...this.underWay]), deadlineMs, late).catch(() => undefined); // each is told
  }

  /** @param options as given: what is wrong with them is told later */
  private mayGoTwice(options: EventPublishOptions | null): boolean {
    return (options?.unroutable ?? this.options.unroutables.policy) === 'alternate-exchange';
  }

  private remember(sent: Promise<unknown>): void {
    this.underWay.add(sent);
    const forget = (): void => void this.underWay.delete(sent);
    sent.then(forget, forget); // whoever publishes is told
  }

  private async publishNow(
    kind: PublishKind,
    topic: string,
    payload: unknown,
    options: EventPublishOptions,
    definition: EventDefinition | undefined,
    wait: boolean,
    emission: Emission | undefined,
  ): Promise<PublishReceipt> {
    const { counters } = this.options;
    counters.published++;
    let message: Message;
    let outcome: Sent;
    try {
      if (options !== NO_OPTIONS) this.assertOptions(options);
      const target = this.targetOf(kind, topic, options);
      const schema = definition?.schema;
      const checked = schema ? await validate(schema, payload, `The payload for "${topic}"`) : payload;
      message = this.encoder.encode(topic, checked, this.options.scope.inherit(options, emission?.origin), definition);
      if (emission) await emission.ready();
      if (options.background) return this.inBackground(kind, target, message, options);
      outcome = await this.send(target, message, transportOptions(options, wait));
    } catch (error) {
      counters.failed++;
      throw error;
    }
    return this.receipt(kind, message, outcome, options);
  }

  private assertOptions(options: EventPublishOptions): void {
    assertValid(PUBLISH_OPTIONS, options, 'publish options');
    if (options.unroutable !== undefined) this.options.unroutables.assertKnown(options.unroutable);
  }

  private targetOf(kind: PublishKind, topic: string, options: EventPublishOptions): Target {
    const { exchanges } = this.options;
    if (kind === 'commands') {
      assertCommandOptions(options);
      return exchanges.commandTarget(topic);
    }
    const exchange = exchanges.get(options.exchange);
    const target = exchange[kind];
    if (target && exchange.keptBy === undefined) {
      target.exchange.handler.assertTopic(topic);
      return target;
    }
    throw new ConfigurationError(
      `"${exchange.name}" takes only what no group of its exchange gets. Publish to that exchange.`,
    );
  }

  private send(target: Target, message: Message, options: TransportPublishOptions): Promise<Sent> {
    if (this.around) return this.sendThrough(this.around, target, message, options);
    return this.stage.send(target, message, options);
  }

  private inBackground(
    kind: PublishKind,
    target: Target,
    message: Message,
    options: EventPublishOptions,
  ): PublishReceipt {
    const { id, topic } = message;
    const { unroutable = this.options.unroutables.policy } = options;
    // nobody is there to catch it
    const judged: EventPublishOptions = unroutable === 'reject' ? { ...options, unroutable: 'warn' } : options;
    const onFailed = (error: unknown): void => {
      this.options.logger.error(`"${topic}" (${id}), published in the background, was not sent: ${String(error)}`);
    };
    const sent = this.send(target, message, transportOptions(options, false)).then(
      async (outcome) => {
        await Promise.resolve(this.receipt(kind, message, outcome, judged)).catch(onFailed);
      },
      (error: unknown) => {
        this.options.counters.failed++;
        onFailed(error);
      },
    );
    if (this.mayGoTwice(options)) this.remember(sent);
    return { id, topic, state: 'queued' };
  }

  private receipt(
    kind: PublishKind,
    message: Message,
    outcome: Sent,
    options: EventPublishOptions,
  ): PublishReceipt | Promise<PublishReceipt> {
    const { id, topic } = message;
    if ('state' in outcome && outcome.state === 'stored') return { id, topic, state: 'stored' };
    const { routed } = outcome;
    if (routed === false) return this.unrouted(kind, message, outcome, options);
    this.options.counters.confirmed++;
    return routed === undefined ? { id, topic, state: 'confirmed' } : { id, topic, state: 'confirmed', routed };
  }

  private async unrouted(
    kind: PublishKind,
    message: Message,
    { message: sent = message, returned }: Sent,
    options: EventPublishOptions,
  ): Promise<PublishReceipt> {
    const { id, topic, timestamp } = message;
    const { counters, exchanges, unroutables, alternates } = this.options;
    if (kind === 'commands') {
      counters.failed++;
      throw new NoHandlerError(topic);
    }
    const { unroutable: policy = unroutables.policy, timeoutMs = this.options.timeoutMs, signal } = options;
    const exchange = exchanges.get(options.exchange);
    const broadcast = kind === 'broadcasts';
    try {
      unroutables.meet({ exchange, broadcast, message: sent, returned, at: Date.now() }, policy);
      if (policy === 'alternate-exchange') {
        const time = { end: timestamp + timeoutMs, timeoutMs, signal };
        await alternates.keep(exchange, sent, time, (target, m, o) => this.stage.send(target, m, o));
      }
    } catch (error) {
      counters.failed++;
      throw error;
    }
    counters.confirmed++;
    return { id, topic, state: 'confirmed', routed: false };
  }

  private async sendThrough(
    around: NonNullable<Publisher['around']>,
    target: Target,
    message: Message,
    options: TransportPublishOptions,
  ): Promise<Sent> {
    const context = { message };
    let outcome: Sent | undefined;
    await around(context, async () => {
      const { message: sent } = context;
      outcome = { ...(await this.stage.send(target, sent, options)), message: sent };
    });
    if (!outcome)
      throw new ConfigurationError('A publish middleware did not call next(); throw an error to refuse a message.');
    return outcome;
  }
}

/** A command goes to its queue, or nowhere. */
function assertCommandOptions(options: EventPublishOptions): void {
  for (const name of ['exchange', 'unroutable'] as const) {
    if (options[name] === undefined) continue;
    throw new ConfigurationError(
      `${name} is for events: a command goes to the one queue of its name, and rejects with a NoHandlerError when there is none.`,
    );
  }
}

function transportOptions({ timeoutMs, signal }: EventPublishOptions, wait: boolean): TransportPublishOptions {
  if (timeoutMs === undefined && signal === undefined) return wait ? WAIT : AS_THE_BUS;
  const options: { -readonly [K in keyof TransportPublishOptions]: TransportPublishOptions[K] } = {};
  if (timeoutMs !== undefined) options.timeoutMs = timeoutMs;
  if (signal !== undefined) options.signal = signal;
  if (wait) options.onFull = 'wait';
  return options;
}
