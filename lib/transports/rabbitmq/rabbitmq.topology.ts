import type { Channel, ChannelModel } from 'amqplib';
import { ConfigurationError, TopologyConflictError } from '../../core/errors.js';
import type { Exchange } from '../../core/exchange.js';
import type { Source, Topology } from '../../core/transport.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';

export const EXCHANGE_TYPES: readonly string[] = ['topic', 'direct', 'fanout', 'headers'];

/** Sources that are declared at one time. */
const PARALLEL = 8;

/**
 * No argument here depends on an option that a team may change: RabbitMQ refuses a queue that exists with other
 * arguments, and a deploy must never need one deleted.
 */
const QUORUM = { 'x-queue-type': 'quorum' } as const;

function groupArguments(group: string): Readonly<Record<string, unknown>> {
  return {
    ...QUORUM,
    // counts crashes of consumers; our own attempts are counted in a header
    'x-delivery-limit': 20,
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': deadLetterQueue(group),
    'x-dead-letter-strategy': 'at-least-once',
  };
}

function retryArguments(group: string, delayMs: number): Readonly<Record<string, unknown>> {
  return {
    ...QUORUM,
    'x-message-ttl': delayMs,
    'x-overflow': 'reject-publish',
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': group,
    'x-dead-letter-strategy': 'at-least-once',
  };
}

/** Listing counts as a redelivery, and without a limit of its own RabbitMQ 4 would delete what was listed 20 times. */
const DEAD_LETTER_ARGUMENTS = { ...QUORUM, 'x-delivery-limit': 1_000_000 } as const;

export function deadLetterQueue(group: string): string {
  return `${group}.dlq`;
}

export function retryQueue(group: string, delayMs: number): string {
  return `${group}.retry.${delayMs}`;
}

/** Everything of a topology; each source on a channel of its own. @throws the first error when all have been tried */
export async function declareTopology(connection: ChannelModel, { exchanges, sources }: Topology): Promise<void> {
  await withChannel(connection, async (channel) => {
    for (const exchange of exchanges) await declareExchange(channel, exchange);
  });
  const waiting = [...sources];
  const errors: unknown[] = [];
  const work = async (): Promise<void> => {
    for (let source = waiting.shift(); source; source = waiting.shift()) {
      try {
        await declareSource(connection, source, source.group ?? source.owner);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, sources.length) }, work));
  if (errors.length > 0) throw errors[0];
}

/** The queue of a source with its bindings; for a group also the queue of its dead letters. */
export async function declareSource(connection: ChannelModel, source: Source, queue: string): Promise<void> {
  assertSupported(source);
  await withChannel(connection, async (channel) => {
    for (const exchange of new Set(source.bindings.map((binding) => binding.exchange)))
      await declareExchange(channel, exchange);
    if (source.group === undefined) {
      await declare(queue, channel.assertQueue(queue, { exclusive: true, durable: false, autoDelete: false }));
    } else {
      await declareQueue(channel, deadLetterQueue(source.group), DEAD_LETTER_ARGUMENTS);
      await declareQueue(channel, queue, groupArguments(source.group));
    }
    for (const { exchange, pattern, headers, match } of source.bindings) {
      const isHeaders = exchange.handler.type === 'headers';
      const key = pattern ?? (exchange.handler.type === 'topic' ? '#' : '');
      const args = isHeaders ? { ...headers, 'x-match': match ?? 'all' } : {};
      await declare(queue, channel.bindQueue(queue, exchange.name, key, args));
    }
  });
}

export async function declareRetryQueue(connection: ChannelModel, group: string, delayMs: number): Promise<void> {
  await withChannel(connection, (channel) =>
    declareQueue(channel, retryQueue(group, delayMs), retryArguments(group, delayMs)),
  );
}

export async function declareDeadLetterQueue(connection: ChannelModel, group: string): Promise<void> {
  await withChannel(connection, (channel) => declareQueue(channel, deadLetterQueue(group), DEAD_LETTER_ARGUMENTS));
}

/** @throws ConfigurationError for what this transport cannot do */
export function assertSupported(source: Source): void {
  for (const binding of source.bindings) {
    binding.exchange.handler.assertRule(binding);
    assertExchangeType(binding.exchange);
  }
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

async function declareExchange(channel: Channel, exchange: Exchange): Promise<void> {
  assertExchangeType(exchange);
  await declare(exchange.name, channel.assertExchange(exchange.name, exchange.handler.type, { durable: true }));
}

async function declareQueue(channel: Channel, queue: string, args: Readonly<Record<string, unknown>>): Promise<void> {
  await declare(queue, channel.assertQueue(queue, { durable: true, arguments: args }));
}

async function declare(entity: string, work: Promise<unknown>): Promise<void> {
  try {
    await rpc(work, `declare "${entity}"`);
  } catch (cause) {
    const { code, message } = cause as ChannelError;
    if (code !== 406) throw cause;
    throw new TopologyConflictError(entity, /inequivalent arg [^"]*/.exec(message)?.[0] ?? 'arguments differ', {
      cause,
    });
  }
}
