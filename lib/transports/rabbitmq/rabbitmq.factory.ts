import { ConfigurationError } from '../../core/errors.js';
import type { BusLogger } from '../../core/logger.js';
import type { Connection, Transport } from '../../core/transport.js';
import { RabbitMqConnection } from './rabbitmq.connection.js';
import { rabbitMqProblems, resolveRabbitMqOptions } from './rabbitmq.options.js';
import { RabbitMqTransport } from './rabbitmq.transport.js';

interface Settings {
  readonly options: Readonly<Record<string, unknown>>;
  readonly service: string | undefined;
  readonly publish: {
    readonly timeoutMs: number;
    readonly window: number;
    readonly buffer: { readonly messages: number; readonly bytes: number; readonly onFull: 'reject' | 'wait' };
  };
  readonly logger: BusLogger;
}

export const rabbitMqFactory = {
  problems: rabbitMqProblems,

  createConnection({ options, service, logger }: Settings): Connection {
    return new RabbitMqConnection(resolveRabbitMqOptions(options), service ?? 'nestjs-event-bus', logger);
  },

  createTransport({ publish, logger }: Settings, connection: Connection): Transport {
    if (!(connection instanceof RabbitMqConnection)) {
      throw new ConfigurationError(
        'EVENT_BUS_CONNECTION was replaced by something that is not a RabbitMQ connection; replace EVENT_BUS_TRANSPORT too.',
      );
    }
    const { timeoutMs, window, buffer } = publish;
    return new RabbitMqTransport(connection, { timeoutMs, window, ...buffer }, logger);
  },
};
