import { ConfigurationError } from '../core/errors.js';
import type { BusLogger } from '../core/logger.js';
import { nearest } from '../core/text.js';
import type { Connection, Transport } from '../core/transport.js';

/** What a bus tells its transport. */
export interface TransportSettings {
  /** The transport's own options, with `type`. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly service: string | undefined;
  readonly publish: {
    readonly timeoutMs: number;
    readonly window: number;
    readonly buffer: { readonly messages: number; readonly bytes: number; readonly onFull: 'reject' | 'wait' };
  };
  readonly logger: BusLogger;
}

/** Builds the two halves of a transport. Neither connects before `Transport.connect`. */
export interface TransportFactory {
  /** What is wrong with the transport's own options, so that it can be told together with the rest. */
  problems?(options: Readonly<Record<string, unknown>>): readonly string[];
  /** @throws ConfigurationError for bad options, with all problems */
  createConnection(settings: TransportSettings): Connection;
  createTransport(settings: TransportSettings, connection: Connection): Transport;
}

/** A transport that can be chosen by `type` or by the scheme of a URL. Its driver is loaded when it is used. */
export interface TransportDefinition {
  readonly type: string;
  readonly schemes: readonly string[];
  load(): Promise<TransportFactory>;
}

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
    const guess = typeof type === 'string' ? nearest(type, known) : undefined;
    throw new ConfigurationError(
      `transport.type is unknown. ${guess === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${guess}"?`}`,
    );
  }
}
