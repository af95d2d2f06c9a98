import { ConfigurationError } from '../../core/errors.js';
import type { Connection, Transport } from '../../core/transport.js';
import type { TransportFactory, TransportSettings } from '../../core/transport-definition.js';
import { RabbitMqConnection } from './rabbitmq.connection.js';
import { rabbitMqProblems, resolveRabbitMqOptions } from './rabbitmq.options.js';
import { RabbitMqTransport } from './rabbitmq.transport.js';

export const rabbitMqFactory = {
  problems: rabbitMqProblems,

  createConnection({ options, service, logger }: TransportSettings): Connection {
    return new RabbitMqConnection(resolveRabbitMqOptions(options), service ?? 'nestjs-event-bus', logger);
  },

  createTransport({ options, publish, logger }: TransportSettings, connection: Connection): Transport {
    if (!(connection instanceof RabbitMqConnection)) {
      throw new ConfigurationError(
        'EVENT_BUS_CONNECTION was replaced by something that is not a RabbitMQ connection; replace EVENT_BUS_TRANSPORT too.',
      );
    }
    const { timeoutMs, window, buffer } = publish;
    const { declare } = resolveRabbitMqOptions(options);
    return new RabbitMqTransport(connection, { timeoutMs, window, declare, ...buffer }, logger);
  },
} satisfies TransportFactory;
