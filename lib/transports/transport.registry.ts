import { ConfigurationError } from '../core/errors.js';
import { hint } from '../core/text.js';
import type { TransportDefinition } from '../core/transport-definition.js';

const BUILT_IN: readonly TransportDefinition[] = [
  {
    type: 'memory',
    schemes: ['memory'],
    load: async () => (await import('./memory/memory.factory.js')).memoryFactory,
  },
  {
    type: 'rabbitmq',
    schemes: ['amqp', 'amqps'],
    load: async () => (await import('./rabbitmq/rabbitmq.factory.js')).rabbitMqFactory,
  },
];

export interface ChosenTransport {
  readonly definition: TransportDefinition;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Which transport an option means. */
export class TransportRegistry {
  private readonly definitions: readonly TransportDefinition[];

  constructor(additional: readonly TransportDefinition[] = []) {
    this.definitions = [...BUILT_IN, ...additional];
  }

  /** @throws ConfigurationError for an unknown type or scheme */
  choose(transport: string | Readonly<Record<string, unknown>>): ChosenTransport {
    return typeof transport === 'string' ? this.byUrl(transport) : this.byType(transport);
  }

  private byUrl(url: string): ChosenTransport {
    const scheme = url.split(':', 1)[0] ?? '';
    const definition = this.definitions.findLast(({ schemes }) => url.includes(':') && schemes.includes(scheme));
    if (definition)
      return { definition, options: scheme === 'memory' ? { type: definition.type } : { type: definition.type, url } };
    const known = this.definitions.flatMap(({ schemes }) => schemes.map((name) => `${name}:`));
    throw new ConfigurationError(`transport is a URL with an unknown scheme. Known: ${known.join(', ')}.`);
  }

  private byType(options: Readonly<Record<string, unknown>>): ChosenTransport {
    const { type } = options;
    const definition = this.definitions.findLast((candidate) => candidate.type === type);
    if (definition) return { definition, options };
    const known = this.definitions.map((candidate) => candidate.type);
    throw new ConfigurationError(`transport.type is unknown. ${hint(type, known)}`);
  }
}
