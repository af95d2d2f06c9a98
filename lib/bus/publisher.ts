import { ConfigurationError, MessageTooLargeError, UnroutableError, ValidationError } from '../core/errors.js';
import type { Exchange } from '../core/exchange.js';
import { toHeaders } from '../core/headers.js';
import { IdSource } from '../core/id-source.js';
import type { BusLogger } from '../core/logger.js';
import type { Message } from '../core/message.js';
import { ANY, bool, integer, oneOf, shape, text } from '../core/options.js';
import { compose, type Middleware } from '../core/pipeline.js';
import { validate } from '../core/schema.js';
import type { EncodedBody, MessageHead, Serializer } from '../core/serializer.js';
import type { Routed, Target, Transport, TransportPublishOptions } from '../core/transport.js';
import type { BusExchanges, ExchangeTarget } from './bus-exchanges.js';
import type { UnroutablePolicy } from './event-bus.options.js';
import type { PublishCounters } from './event-bus.stats.js';
import type { EventDefinition } from './event-definition.js';
import type { EventPublishOptions, PublishReceipt } from './publish-options.js';

/** Topics for which the warning "no group" was given; forgotten together, so that it stays bounded. */
const WARNED = 1_000;
const AS_THE_BUS: TransportPublishOptions = Object.freeze({});
const WAIT: TransportPublishOptions = Object.freeze({ onFull: 'wait' });
const NO_OPTIONS: EventPublishOptions = Object.freeze({});
const NO_BODY = new Uint8Array(0);

const OPTIONS_SHAPE = shape({
  exchange: text(),
  id: text(/^[\x20-\x7e]{1,255}$/, '1 to 255 printable ASCII characters'),
  type: text(/^[^\0]{1,255}$/, 'at most 255 characters'),
  headers: ANY,
  key: text(/^[^\0]{1,255}$/, 'at most 255 characters'),
  correlationId: text(/^[^\0]{1,255}$/, 'at most 255 characters'),
  causationId: text(/^[^\0]{1,255}$/, 'at most 255 characters'),
  expiresInMs: integer(1, 2 ** 40),
  delayMs: integer(0, 30 * 86_400_000),
  timeoutMs: integer(1, 86_400_000),
  unroutable: oneOf(['warn', 'reject', 'ignore']),
  signal: ANY,
  background: bool,
});

/** To one member of each group, or to every instance. */
export type PublishKind = 'events' | 'broadcasts';

export interface Stored {
  readonly state: 'confirmed' | 'stored';
  readonly routed?: boolean;
}

/** The last step of a publish. An outbox takes the place of the direct one and answers `stored`. */
export interface PublishStage {
  send(target: Target, message: Message, options: TransportPublishOptions): Promise<Stored | Routed>;
}

export interface PublisherOptions {
  readonly service: string | undefined;
  readonly exchanges: BusExchanges;
  readonly transport: Transport;
  readonly serializer: Serializer;
  readonly unroutable: UnroutablePolicy;
  readonly maxMessageBytes: number;
  readonly counters: PublishCounters;
  readonly logger: BusLogger;
  readonly middleware?: readonly Middleware<{ message: Message }>[] | undefined;
  /** Default: straight to the transport. */
  readonly stage?: PublishStage | undefined;
}

/** The way out: schema, serializer, limits, frozen message, middleware, stage, receipt. */
export class Publisher {
  private readonly stage: PublishStage;
  private readonly ids = new IdSource();
  private readonly warned = new Set<string>();
  private readonly around: ReturnType<typeof compose<{ message: Message }>> | undefined;

  constructor(private readonly options: PublisherOptions) {
    this.stage = options.stage ?? { send: (target, message, o) => options.transport.publish(target, message, o) };
    if (options.middleware && options.middleware.length > 0) this.around = compose(options.middleware);
  }

  /**
   * @param definition what is known of the event when it has a class or a definition
   * @param wait for room in a full buffer, whatever the bus is set to
   */
  async publish(
    kind: PublishKind,
    topic: string,
    payload: unknown,
    options: EventPublishOptions = NO_OPTIONS,
    definition?: EventDefinition,
    wait = false,
  ): Promise<PublishReceipt> {
    const { counters } = this.options;
    counters.published++;
    let target: ExchangeTarget;
    let message: Message;
    let outcome: Stored | Routed;
    try {
      if (options !== NO_OPTIONS) assertOptions(options);
      target = this.targetOf(kind, options.exchange);
      target.exchange.handler.assertTopic(topic);
      const schema = definition?.schema;
      const checked = schema ? await validate(schema, payload, `The payload for "${topic}"`) : payload;
      message = this.toMessage(topic, checked, options, definition);
      if (options.background) return this.inBackground(target, message, options);
      outcome = await this.send(target, message, transportOptions(options, wait));
    } catch (error) {
      counters.failed++;
      throw error;
    }
    return this.receipt(target, message, outcome, options);
  }

  private targetOf(kind: PublishKind, name: string | undefined): ExchangeTarget {
    const exchange = this.options.exchanges.get(name);
    const target = exchange[kind];
    if (target) return target;
    throw new ConfigurationError(`"${exchange.name}" is for one group; nothing can be broadcast there.`);
  }

  private send(target: ExchangeTarget, message: Message, options: TransportPublishOptions): Promise<Stored | Routed> {
    if (this.around) return this.sendThrough(this.around, target, message, options);
    return this.stage.send(target, message, options);
  }

  private inBackground(target: ExchangeTarget, message: Message, options: EventPublishOptions): PublishReceipt {
    const { id, topic } = message;
    this.send(target, message, transportOptions(options, false)).then(
      (outcome) => this.receipt(target, message, outcome, { ...options, unroutable: 'warn' }),
      (error: unknown) => {
        this.options.counters.failed++;
        this.options.logger.error(`"${topic}" (${id}), published in the background, was not sent: ${String(error)}`);
      },
    );
    return { id, topic, state: 'queued' };
  }

  private receipt(
    { exchange }: ExchangeTarget,
    { id, topic }: Message,
    outcome: Stored | Routed,
    { unroutable = this.options.unroutable }: EventPublishOptions,
  ): PublishReceipt {
    if ('state' in outcome && outcome.state === 'stored') return { id, topic, state: 'stored' };
    this.options.counters.confirmed++;
    const { routed } = outcome;
    if (routed === undefined) return { id, topic, state: 'confirmed' };
    if (!routed) this.onUnroutable(exchange, topic, unroutable);
    return { id, topic, state: 'confirmed', routed };
  }

  private async sendThrough(
    around: NonNullable<Publisher['around']>,
    target: Target,
    message: Message,
    options: TransportPublishOptions,
  ): Promise<Stored | Routed> {
    const context = { message };
    let outcome: Stored | Routed | undefined;
    await around(context, async () => {
      outcome = await this.stage.send(target, context.message, options);
    });
    if (!outcome)
      throw new ConfigurationError('A publish middleware did not call next(); throw an error to refuse a message.');
    return outcome;
  }

  private toMessage(
    topic: string,
    payload: unknown,
    options: EventPublishOptions,
    definition?: EventDefinition,
  ): Message {
    const { serializer, maxMessageBytes, service } = this.options;
    const now = Date.now();
    const message: { -readonly [K in keyof Message]: Message[K] } = {
      id: options.id ?? this.ids.next(),
      type: options.type ?? definition?.topic ?? '',
      topic,
      contentType: serializer.contentType,
      headers: toHeaders(options.headers),
      body: NO_BODY,
      timestamp: now,
    };
    if (definition?.version !== undefined) message.version = definition.version;
    if (service !== undefined) message.source = service;
    if (options.key !== undefined) message.key = options.key;
    if (options.correlationId !== undefined) message.correlationId = options.correlationId;
    if (options.causationId !== undefined) message.causationId = options.causationId;
    if (options.expiresInMs !== undefined) message.expiresAt = now + options.expiresInMs;
    if (options.delayMs) message.dueAt = now + options.delayMs;
    const encoded = this.encode(serializer, payload, message);
    if (encoded instanceof Uint8Array) message.body = encoded;
    else applyTo(message, encoded);
    const { byteLength } = message.body;
    if (byteLength > maxMessageBytes)
      throw new MessageTooLargeError(`The payload for "${topic}"`, byteLength, maxMessageBytes);
    return Object.freeze(message);
  }

  private encode(serializer: Serializer, payload: unknown, head: MessageHead): Uint8Array | EncodedBody {
    try {
      return serializer.encode(payload, head);
    } catch (cause) {
      if (cause instanceof ValidationError || cause instanceof MessageTooLargeError) throw cause;
      throw new ValidationError(
        `The payload for "${head.topic}" cannot be serialized.`,
        [],
        { cause },
        'UNSERIALIZABLE',
      );
    }
  }

  private onUnroutable(exchange: Exchange, topic: string, policy: UnroutablePolicy): void {
    this.options.counters.unroutable++;
    if (policy === 'reject') throw new UnroutableError(exchange.name, topic);
    if (policy === 'ignore' || this.warned.has(topic)) return;
    if (this.warned.size >= WARNED) this.warned.clear();
    this.warned.add(topic);
    this.options.logger.warn(
      `No group is bound to exchange "${exchange.name}" for topic "${topic}": nobody got it. Said once per topic.`,
    );
  }
}

function applyTo(message: { -readonly [K in keyof Message]: Message[K] }, encoded: EncodedBody): void {
  const { body, contentType, contentEncoding, headers } = encoded;
  message.body = body;
  if (contentType !== undefined) message.contentType = contentType;
  if (contentEncoding !== undefined) message.contentEncoding = contentEncoding;
  if (headers) message.headers = toHeaders({ ...message.headers, ...headers });
}

function transportOptions({ timeoutMs, signal }: EventPublishOptions, wait: boolean): TransportPublishOptions {
  if (timeoutMs === undefined && signal === undefined) return wait ? WAIT : AS_THE_BUS;
  const options: { -readonly [K in keyof TransportPublishOptions]: TransportPublishOptions[K] } = {};
  if (timeoutMs !== undefined) options.timeoutMs = timeoutMs;
  if (signal !== undefined) options.signal = signal;
  if (wait) options.onFull = 'wait';
  return options;
}

function assertOptions(options: EventPublishOptions): void {
  const problems: string[] = [];
  OPTIONS_SHAPE(options, 'publish options', problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
}
