import type { Channel, ChannelModel } from 'amqplib';
import { ConfigurationError, EventBusError } from '../../core/errors.js';
import type { Binding } from '../../core/exchange.js';
import type { DeclareMode, Source, Topology } from '../../core/transport.js';
import { withChannel } from './rabbitmq.channel.js';
import { toField } from './rabbitmq.codec.js';
import { declare } from './rabbitmq.declaration.js';
import { assertTypeName, EXCHANGE_TYPES, type RabbitMqExchanges } from './rabbitmq.exchanges.js';
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
  rulesQueue,
} from './rabbitmq.group-queues.js';
import { look } from './rabbitmq.queue-state.js';
import { RabbitMqRuleTables } from './rabbitmq.rule-table.js';
import { RabbitMqSieve } from './rabbitmq.sieve.js';

/** Sources that are declared at one time. */
const PARALLEL = 8;

/** Declares, checks or trusts; the one place that knows which. Every call has a channel of its own. */
export class RabbitMqTopology {
  /** Groups whose queues have stood: when one cannot be declared again just now, publishing need not wait for it. */
  private readonly stood = new Set<string>();

  private readonly tables = new RabbitMqRuleTables();

  constructor(
    private readonly mode: DeclareMode,
    private readonly exchanges: RabbitMqExchanges,
  ) {}

  /**
   * Everything of a topology. A source in conflict does not keep the others back.
   *
   * @returns what is wrong with sources and will not mend itself
   * @throws for an exchange, and for a source that does not stand yet but may soon
   */
  async declareAll(connection: ChannelModel, { exchanges, sources }: Topology): Promise<readonly EventBusError[]> {
    await withChannel(connection, async (channel) => {
      for (const exchange of exchanges) await this.exchanges.declare(connection, channel, exchange, this.mode);
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

  /**
   * The queue of a source with its bindings; for a group also the queue of its dead letters.
   *
   * @returns what its consumer must apply, if the broker does not
   */
  async declareSource(connection: ChannelModel, source: Source, queue: string): Promise<RabbitMqSieve | undefined> {
    assertSupported(source);
    const { group } = source;
    const mode = source.declare ?? this.mode;
    const others = ownMode(source) ?? this.mode;
    const isBound = group === undefined || (source.queue?.bind ?? mode === 'assert');
    const sieve = await withChannel(connection, async (channel) => {
      for (const exchange of new Set(source.bindings.map((binding) => binding.exchange)))
        await this.exchanges.declare(connection, channel, exchange, others);
      if (group === undefined) {
        // nobody else can make it
        const work = channel.assertQueue(queue, { exclusive: true, durable: false, autoDelete: false });
        await declare('queue', queue, work);
      } else {
        await declareQueue(channel, deadLetterQueue(group), DEAD_LETTER_ARGUMENTS, others);
        await declareQueue(channel, queue, queueArguments(group, source.queue), mode);
      }
      const made = await this.sieveOf(connection, source, others === 'assert' ? queue : undefined, isBound);
      if (isBound) await bind(channel, source, queue);
      return made;
    });
    if (group !== undefined) this.stood.add(group);
    return sieve;
  }

  /** What the consumer of a queue that the group had before must apply: what that was bound to counts too. */
  async sieveFor(connection: ChannelModel, source: Source, previous: string): Promise<RabbitMqSieve | undefined> {
    const bindings = this.leftToConsumers(source.bindings);
    if (bindings.length === 0) return undefined;
    if ((ownMode(source) ?? this.mode) !== 'assert') return new RabbitMqSieve(bindings);
    // what it asked for is not known: all that it holds is handled, or told of
    if (!(await look(connection, rulesQueue(previous)))) return undefined;
    const { tables } = this;
    const table = await tables.enter(connection, previous);
    return new RabbitMqSieve(bindings, { connection, queue: previous, tables, isMember: false }, table);
  }

  /** @param shared the queue, if what it is bound to is written down for all who consume it */
  private async sieveOf(
    connection: ChannelModel,
    { group, bindings: all, unbind = [] }: Source,
    shared: string | undefined,
    isBound: boolean,
  ): Promise<RabbitMqSieve | undefined> {
    const bindings = this.leftToConsumers(all);
    if (bindings.length === 0) return undefined;
    if (group === undefined || shared === undefined) return new RabbitMqSieve(bindings);
    const { tables } = this;
    const table = await tables.enter(connection, shared, bindings, isBound ? unbind : []);
    return new RabbitMqSieve(bindings, { connection, queue: shared, tables, isMember: true }, table);
  }

  private leftToConsumers(bindings: readonly Binding[]): readonly Binding[] {
    return bindings.filter(({ exchange }) => this.exchanges.isLeftToConsumers(exchange));
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
  const key = pattern ?? (type === 'topic' ? '#' : '');
  if (type === 'headers') return { key, args: { ...asked(headers), 'x-match': match ?? 'all' } };
  // a type of which only its rule knows what it reads
  const args = EXCHANGE_TYPES.includes(type) ? {} : { ...asked(headers), ...(match && { 'x-match': match }) };
  return { key, args };
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
    assertTypeName(binding.exchange);
  }
  assertQueue(source);
  if (source.ordered !== undefined)
    throw new ConfigurationError(`ordered: '${source.ordered}' is not supported by RabbitMQ.`);
  if (source.startFrom === 'earliest')
    throw new ConfigurationError(`startFrom: 'earliest' is not supported by RabbitMQ queues.`);
}

async function bind(channel: Channel, source: Source, queue: string): Promise<void> {
  for (const binding of source.bindings) {
    const { key, args } = bindingKey(binding);
    await declare('queue', queue, channel.bindQueue(queue, binding.exchange.name, key, args));
  }
  // one that is not there is no error, nor is an exchange that is gone
  for (const binding of source.unbind ?? []) {
    const { key, args } = bindingKey(binding);
    await declare('queue', queue, channel.unbindQueue(queue, binding.exchange.name, key, args));
  }
}

async function declareQueue(channel: Channel, queue: string, args: QueueArguments, mode: DeclareMode): Promise<void> {
  if (mode === 'assert') await declare('queue', queue, channel.assertQueue(queue, { durable: true, arguments: args }));
  if (mode === 'check') await declare('queue', queue, channel.checkQueue(queue));
}
