import type { Channel, ChannelModel } from 'amqplib';
import { ConfigurationError, ConnectionError, TopologyConflictError } from '../../core/errors.js';
import type { Exchange } from '../../core/exchange.js';
import type { BusLogger } from '../../core/logger.js';
import type { DeclareMode, Source } from '../../core/transport.js';
import { type ChannelError, rpc, withChannel } from './rabbitmq.channel.js';
import { declare, toTopologyError } from './rabbitmq.declaration.js';
import { NAME_BYTES } from './rabbitmq.group-queues.js';

/** What every RabbitMQ has, and can be asked for without a risk. */
export const EXCHANGE_TYPES: readonly string[] = ['topic', 'direct', 'fanout', 'headers'];

/** In place of a type that the broker does not have: every queue gets everything, and the consumers apply the rule. */
const STAND_IN = 'fanout';

/** How an exchange of another type is at the broker. */
type Standing = 'native' | 'emulated';

/** Runs work on a connection of its own: what breaks that one breaks nothing else. */
export type Apart = <T>(purpose: string, work: (connection: ChannelModel) => Promise<T>) => Promise<T>;

/** Whether the broker may not have its type. */
export function isForeign({ handler }: Exchange): boolean {
  return !EXCHANGE_TYPES.includes(handler.type);
}

/** @throws ConfigurationError for a type that cannot even be asked for */
export function assertTypeName({ name, handler: { type } }: Exchange): void {
  if (typeof type === 'string' && type !== '' && Buffer.byteLength(type) <= NAME_BYTES) return;
  throw new ConfigurationError(
    `The type of the rule of exchange "${name}" must be a text of 1 to ${NAME_BYTES} bytes.`,
  );
}

/**
 * Declares exchanges. One of a type that RabbitMQ may not have, by a plug-in or a rule of the user's own, is taken as it is:
 * native, or a fanout. Where there is none of that name it is made, native if it can be. That is tried on a connection of
 * its own, because the broker closes the connection on which it is asked for a type that it does not know.
 */
export class RabbitMqExchanges {
  private readonly known = new Map<string, Standing>();
  private readonly types = new Map<string, string>();
  private readonly finding = new Map<string, Promise<Standing>>();
  private readonly told = new Map<string, Standing>();

  constructor(
    private readonly apart: Apart,
    private readonly logger: BusLogger,
  ) {}

  /** Names of those whose rule the consumers apply. */
  get emulated(): readonly string[] {
    return [...this.known].flatMap(([name, standing]) => (standing === 'emulated' ? [name] : []));
  }

  /** Whether the consumers must apply the rule. So it is too where the exchange was made by hand, which tells nothing. */
  isLeftToConsumers(exchange: Exchange): boolean {
    return isForeign(exchange) && this.known.get(exchange.name) !== 'native';
  }

  /** @param channel is closed by the broker if that fails */
  async declare(connection: ChannelModel, channel: Channel, exchange: Exchange, mode: DeclareMode): Promise<void> {
    const { name, handler } = exchange;
    assertTypeName(exchange);
    if (mode === 'check') await declare('exchange', name, channel.checkExchange(name));
    if (mode !== 'assert') return;
    if (isForeign(exchange)) this.know(exchange, await this.stand(connection, exchange));
    else await declare('exchange', name, channel.assertExchange(name, handler.type, { durable: true }));
  }

  private async stand(connection: ChannelModel, exchange: Exchange): Promise<Standing> {
    const { name } = exchange;
    const known = this.known.get(name);
    if (known !== undefined) {
      try {
        return await assertAs(connection, exchange, known);
      } catch (error) {
        // if the broker has lost the type since, that has ended the connection, and on the next one it is found out, of all
        this.forget(exchange.handler.type);
        throw error;
      }
    }
    const finding = this.finding.get(name) ?? this.find(connection, exchange);
    this.finding.set(name, finding);
    try {
      return await finding;
    } finally {
      this.finding.delete(name);
    }
  }

  private async find(connection: ChannelModel, exchange: Exchange): Promise<Standing> {
    const isNew = !(await isThere(connection, exchange.name));
    if (isNew && (await this.make(exchange))) return 'native';
    return assertAs(connection, exchange, 'emulated');
  }

  /** @returns false when the broker does not have its type, or somebody else was faster */
  private async make(exchange: Exchange): Promise<boolean> {
    const { name, handler } = exchange;
    let farewell: unknown;
    try {
      await this.apart('exchange types', async (connection) => {
        connection.once('error', (error: unknown) => {
          farewell = error;
        });
        await assertExchange(connection, name, handler.type);
      });
      return true;
    } catch (error) {
      const causes = [farewell, error, error instanceof ConnectionError ? error.cause : undefined];
      if (causes.some(isUnknownType) || typeAt(error) !== undefined) return false;
      throw error;
    }
  }

  private forget(type: string): void {
    for (const [name, one] of this.types) if (one === type) this.known.delete(name);
  }

  private know(exchange: Exchange, standing: Standing): void {
    const { name, handler } = exchange;
    this.known.set(name, standing);
    this.types.set(name, handler.type);
    const before = this.told.get(name);
    if (before === standing) return;
    this.told.set(name, standing);
    if (standing === 'emulated') {
      this.logger.log(
        `RabbitMQ: exchange "${name}" is a ${STAND_IN}, and consumers apply its rule "${handler.type}". If the broker has that type by now, remove the exchange, and it is made anew as one.`,
      );
    } else if (before !== undefined) {
      this.logger.log(`RabbitMQ: exchange "${name}" is of the type "${handler.type}" now.`);
    }
  }
}

/** As wanted, or as it is there. */
async function assertAs(connection: ChannelModel, exchange: Exchange, wanted: Standing): Promise<Standing> {
  const { name, handler } = exchange;
  try {
    await assertExchange(connection, name, wanted === 'native' ? handler.type : STAND_IN);
    return wanted;
  } catch (error) {
    const type = typeAt(error);
    if (type === handler.type) return 'native';
    if (type === STAND_IN) return 'emulated';
    if (type === undefined) throw error;
    throw new TopologyConflictError(
      [{ kind: 'exchange', entity: name, argument: 'type', have: type, want: `${handler.type} or ${STAND_IN}` }],
      { cause: error },
    );
  }
}

async function assertExchange(connection: ChannelModel, name: string, type: string): Promise<void> {
  try {
    await withChannel(connection, (channel) =>
      rpc(channel.assertExchange(name, type, { durable: true }), `declare "${name}"`),
    );
  } catch (cause) {
    throw toTopologyError('exchange', name, cause);
  }
}

async function isThere(connection: ChannelModel, name: string): Promise<boolean> {
  try {
    await withChannel(connection, (channel) => rpc(channel.checkExchange(name), `look at "${name}"`));
    return true;
  } catch (error) {
    if ((error as ChannelError).code !== 404) throw toTopologyError('exchange', name, error);
    return false;
  }
}

/** The type of an exchange that exists with another one than was asked for. */
function typeAt(error: unknown): string | undefined {
  if (!(error instanceof TopologyConflictError)) return undefined;
  return error.conflicts.find(({ kind, argument }) => kind === 'exchange' && argument === 'type')?.have;
}

/** RabbitMQ 3 and 4 say it with different codes. */
function isUnknownType(error: unknown): boolean {
  const { code, message, cause } = (error ?? {}) as Partial<ChannelError>;
  if (code === 503 || message?.includes('unknown exchange type')) return true;
  return cause !== undefined && isUnknownType(cause);
}

export function exchangesOf({ bindings }: Source): readonly Exchange[] {
  return bindings.map(({ exchange }) => exchange);
}
