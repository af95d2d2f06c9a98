import { ConfigurationError } from '../../core/errors.js';
import type { Exchange } from '../../core/exchange.js';
import type { Source, Topology } from '../../core/transport.js';
import { queueName } from './rabbitmq.group-queues.js';

/** What is to be declared, now and after every reconnect, so that no event finds its queue missing. It only grows. */
export class RabbitMqWantedTopology {
  private topology: Topology = { exchanges: [], sources: [] };

  get all(): Topology {
    return this.topology;
  }

  begin(topology: Topology): void {
    this.topology = topology;
  }

  /**
   * Those that are not known yet.
   *
   * @throws ConfigurationError when one of them is known with another type
   */
  unknown(wanted: readonly Exchange[]): readonly Exchange[] {
    const { exchanges } = this.topology;
    return wanted.filter(({ name, handler }) => {
      const same = exchanges.find((one) => one.name === name);
      if (same && same.handler.type !== handler.type)
        throw new ConfigurationError(
          `Exchange "${name}" is of type ${same.handler.type} for those who use the transport already, and ${handler.type} here. Give both the same options, or each its own transport.`,
        );
      return !same;
    });
  }

  /** Some of them may have come meanwhile. */
  addExchanges(exchanges: readonly Exchange[]): void {
    this.topology = { ...this.topology, exchanges: [...this.topology.exchanges, ...this.unknown(exchanges)] };
  }

  addSource(source: Source): void {
    if (source.group === undefined || this.topology.sources.some(({ group }) => group === source.group)) return;
    this.topology = { ...this.topology, sources: [...this.topology.sources, source] };
  }

  /** Where the messages of a group are: in a queue of its name, unless its handlers name another. */
  queueOf(name: string): string {
    const source = this.topology.sources.find(({ group }) => group === name);
    return source ? queueName(source) : name;
  }
}
