import type { BusLogger } from './logger.js';
import type { Connection, Transport } from './transport.js';

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
  /**
   * What is wrong with the transport's own options, so that it can be told together with the rest. Each complaint begins with
   * the path of its option, `transport.heartbeatMs`, by which its line in a configuration file is found.
   */
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
