import { ConfigurationError } from '../../core/errors.js';
import { integer, shape, text } from '../../core/options.js';
import type { Connection, Transport } from '../../core/transport.js';
import type { TransportFactory, TransportSettings } from '../../core/transport-definition.js';
import { MemoryConnection } from './memory.connection.js';
import { MemoryTransport } from './memory.transport.js';

const OPTIONS_SHAPE = shape({ type: text(), retain: integer(0, 1_000_000) });

export const memoryFactory = {
  problems(options: Readonly<Record<string, unknown>>): readonly string[] {
    const problems: string[] = [];
    OPTIONS_SHAPE(options, 'transport', problems);
    return problems;
  },

  createConnection({ options }: TransportSettings): Connection {
    const problems = memoryFactory.problems(options);
    if (problems.length > 0) throw new ConfigurationError(problems);
    return new MemoryConnection();
  },

  createTransport({ options, publish }: TransportSettings, connection: Connection): Transport {
    const { timeoutMs, window, buffer } = publish;
    const retain = typeof options.retain === 'number' ? options.retain : 0;
    return new MemoryTransport(
      { timeoutMs, window, ...buffer, retain },
      connection instanceof MemoryConnection ? connection : undefined,
    );
  },
} satisfies TransportFactory;
