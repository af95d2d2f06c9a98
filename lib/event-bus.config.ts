import { Logger } from '@nestjs/common';
import { conceal } from './concealed-options.js';
import { loadConfig } from './config/config-loader.js';
import type { BusLogger } from './core/logger.js';
import { bool } from './core/options.js';
import { problemsOf } from './create-event-bus.js';
import type { EventBusModuleOptions } from './event-bus.lifecycle.js';
import { BUS_NAME, type EventBusModuleExtras } from './event-bus.module.js';

export interface LoadEventBusConfigOptions {
  /** Where `${NAME}` is looked up. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Of the overlay, `production` for `event-bus.production.jsonc`; empty for none. Default: `NODE_ENV` of `env`. */
  readonly environment?: string;
  /** Told what a file says in vain. Default: Nest's Logger. */
  readonly logger?: BusLogger;
}

/**
 * Reads the options of a bus from a file: JSON with comments, `${VARIABLES}`, imports, and an overlay for each environment.
 * A file can name modules, and they are run: trust it as you trust code.
 *
 * @param path of the file, or of the folder that has an `event-bus.jsonc`
 * @throws ConfigurationError with everything that is wrong, each with its file, line and path, and never with a value
 * @example
 * EventBusModule.forRoot(await loadEventBusConfig('event-bus.jsonc'))
 * @example
 * EventBusModule.forRootAsync({ useFactory: () => loadEventBusConfig('event-bus.jsonc') })
 * @publicApi
 */
export async function loadEventBusConfig(
  path: string | URL,
  options: LoadEventBusConfigOptions = {},
): Promise<EventBusModuleOptions & EventBusModuleExtras> {
  const { env = process.env, environment = env.NODE_ENV ?? '', logger } = options;
  const loaded = await loadConfig(path, {
    env,
    environment,
    check: (raw) => problemsOf(raw, { name: BUS_NAME, isGlobal: bool }),
    logger: (context) => (context === undefined && logger) || new Logger(context ?? 'EventBus'),
  });
  return conceal(loaded);
}
