import type { Channel, ChannelModel } from 'amqplib';
import {
  ConfigurationError,
  ConnectionError,
  EventBusError,
  type TopologyConflict,
  TopologyConflictError,
} from '../../core/errors.js';
import type { Binding, Exchange } from '../../core/exchange.js';
import type { DeclareMode, Source, Topology } from '../../core/transport.js';
import { accessRefused, type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';
import { toField } from './rabbitmq.codec.js';
import {
  assertQueue,
  DEAD_LETTER_ARGUMENTS,
  deadLetterQueue,
  ownMode,
  type QueueArguments,
  queueArguments,
  queueName,
  retryArguments,
  retryQueue,
} from './rabbitmq.group-queues.js';

export const EXCHANGE_TYPES: readonly string[] = ['topic', 'direct', 'fanout', 'headers'];

/** How RabbitMQ says that a queue or exchange exists and is different. */
const INEQUIVALENT = /inequivalent arg '([^']*)' for .* in vhost '.*': received (.*) but current is ([^"]*)/;

const MISSING = /no (queue|exchange) '(.*)' in vhost/;

/** Sources that are declared at one time. */
const PARALLEL = 8;

/** Declares, checks or trusts; the one place that knows which. Every call has a channel of its own. */
export class RabbitMqTopology {
  /** Groups whose queues have stood: when one cannot be declared again just now, publishing need not wait for it. */
  private readonly stood = new Set<string>();

  constructor(private readonly mode: DeclareMode) {}

  /**
   * Everything of a topology. A source in conflict does not keep the others back.
   *
   * @returns what is wrong with sources and will not mend itself
   * @throws for an exchange, and for a source that does not stand yet but may soon
   */
  async declareAll(connection: ChannelModel, { exchanges, sources }: Topology): Promise<readonly EventBusError[]> {
    await withChannel(connection, async (channel) => {
      for (const exchange of exchanges) await declareExchange(channel, exchange, this.mode);
    });
    const waiting = [...sources];
    const final: EventBusError[] = [];
    const transient: unknown[] = [];
    const work = async (): Promise<void> => {
      for (let source = waiting.shift(); source; source = waiting.shift()) {
        try {
          await this.declareSource(connection, source, queueName(source));
        } catch (error) {
          if (isFinal(error)) final.push(error);
          else if (source.group === undefined || !this.stood.has(source.group)) transient.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, sources.length) }, work));
    if (transient.length > 0) throw transient[0];
    return final;
  }

  /** The queue of a source with its bindings; for a group also the queue of its dead letters. */
  async declareSource(connection: ChannelModel, source: Source, queue: string): Promise<void> {
    assertSupported(source);
    const mode = source.declare ?? this.mode;
    const others = ownMode(source) ?? this.mode;
    await withChannel(connection, async (channel) => {
      for (const exchange of new Set(source.bindings.map((binding) => binding.exchange)))
        await declareExchange(channel, exchange, others);
      if (source.group === undefined) {
        // nobody else can make it
        const work = channel.assertQueue(queue, { exclusive: true, durable: false, autoDelete: false });
        await declare('queue', queue, work);
      } else {
        await declareQueue(channel, deadLetterQueue(source.group), DEAD_LETTER_ARGUMENTS, others);
        await declareQueue(channel, queue, queueArguments(source.group, source.queue), mode);
        if (!(source.queue?.bind ?? mode === 'assert')) return;
      }
      for (const binding of source.bindings) {
        const { key, args } = bindingKey(binding);
        await declare('queue', queue, channel.bindQueue(queue, binding.exchange.name, key, args));
      }
      // one that is not there is no error
      for (const binding of source.unbind ?? []) {
        const { key, args } = bindingKey(binding);
        await declare('queue', queue, channel.unbindQueue(queue, binding.exchange.name, key, args));
      }
    });
    if (source.group !== undefined) this.stood.add(source.group);
  }

  /** @param queue where what waits there goes when it is due */
  declareRetryQueue(
    connection: ChannelModel,
    group: string,
    queue: string,
    delayMs: number,
    mode = this.mode,
  ): Promise<void> {
    return withChannel(connection, (channel) =>
      declareQueue(channel, retryQueue(group, queue, delayMs), retryArguments(queue, delayMs), mode),
    );
  }

  declareDeadLetterQueue(connection: ChannelModel, group: string, mode = this.mode): Promise<void> {
    return withChannel(connection, (channel) =>
      declareQueue(channel, deadLetterQueue(group), DEAD_LETTER_ARGUMENTS, mode),
    );
  }
}

/** By which a broker knows a binding. */
export function bindingKey({ exchange, pattern, headers, match }: Binding): {
  readonly key: string;
  readonly args: Readonly<Record<string, unknown>>;
} {
  const { type } = exchange.handler;
  return {
    key: pattern ?? (type === 'topic' ? '#' : ''),
    args: type === 'headers' ? { ...asked(headers), 'x-match': match ?? 'all' } : {},
  };
}

function asked(headers: Binding['headers'] = {}): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, toField(value)]));
}

/** Whether doing the same again cannot help. */
function isFinal(error: unknown): error is EventBusError {
  return error instanceof EventBusError && !error.retryable;
}

/** @throws ConfigurationError for what this transport cannot do */
export function assertSupported(source: Source): void {
  for (const binding of source.bindings) {
    binding.exchange.handler.assertRule(binding);
    assertExchangeType(binding.exchange);
  }
  assertQueue(source);
  if (source.ordered !== undefined)
    throw new ConfigurationError(`ordered: '${source.ordered}' is not supported by RabbitMQ.`);
  if (source.startFrom === 'earliest')
    throw new ConfigurationError(`startFrom: 'earliest' is not supported by RabbitMQ queues.`);
}

function assertExchangeType({ name, handler }: Exchange): void {
  if (EXCHANGE_TYPES.includes(handler.type)) return;
  // an unknown type would not only fail: it closes the whole connection
  throw new ConfigurationError(
    `RabbitMQ has no exchange type "${handler.type}" for "${name}". Known: ${EXCHANGE_TYPES.join(', ')}.`,
  );
}

async function declareExchange(channel: Channel, exchange: Exchange, mode: DeclareMode): Promise<void> {
  assertExchangeType(exchange);
  const { name, handler } = exchange;
  if (mode === 'assert') await declare('exchange', name, channel.assertExchange(name, handler.type, { durable: true }));
  if (mode === 'check') await declare('exchange', name, channel.checkExchange(name));
}

async function declareQueue(channel: Channel, queue: string, args: QueueArguments, mode: DeclareMode): Promise<void> {
  if (mode === 'assert') await declare('queue', queue, channel.assertQueue(queue, { durable: true, arguments: args }));
  if (mode === 'check') await declare('queue', queue, channel.checkQueue(queue));
}

async function declare(kind: TopologyConflict['kind'], entity: string, work: Promise<unknown>): Promise<void> {
  try {
    await rpc(work, `declare "${entity}"`);
  } catch (cause) {
    throw toTopologyError(kind, entity, cause);
  }
}

function toTopologyError(kind: TopologyConflict['kind'], entity: string, cause: unknown): unknown {
  const { code = 0, message } = cause as ChannelError;
  switch (code) {
    case 403:
      return accessRefused(`declare ${kind} "${entity}" or bind it`, cause as ChannelError);
    case 404: {
      // also said of a queue whose node is down, which waiting mends
      const [, missing, name] = MISSING.exec(message) ?? [];
      if (name === undefined) return cause;
      return new TopologyConflictError([{ kind: missing === 'queue' ? 'queue' : 'exchange', entity: name }], { cause });
    }
    case 405:
      return new ConnectionError(
        `Queue "${entity}" belongs to another connection alone. Use another name.`,
        { cause, retryable: false },
        'RESOURCE_LOCKED',
      );
    case 406: {
      const [, argument = 'arguments', want = 'other', have = 'other'] = INEQUIVALENT.exec(message) ?? [];
      return new TopologyConflictError([{ kind, entity, argument, have: quotedIn(have), want: quotedIn(want) }], {
        cause,
      });
    }
    default:
      return cause;
  }
}

/** `the value 'quorum' of type 'longstr'`, `'topic'` or `none`. */
function quotedIn(text: string): string {
  return /'(.*?)'/.exec(text)?.[1] ?? text;
}
