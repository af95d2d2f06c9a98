import { Logger } from '@nestjs/common';
import type { EventBusParts } from './bus/event-bus.parts.js';
import { HandlerScope } from './bus/handler-scope.js';
import { isTransport, optionProblems } from './bus/option-checks.js';
import { PartMaker } from './bus/part-maker.js';
import { type ResolvedOptions, resolveOptions } from './bus/resolved-options.js';
import { ConfigurationError } from './core/errors.js';
import type { BusLogger } from './core/logger.js';
import type { Shape } from './core/options.js';
import type { Connection, Transport } from './core/transport.js';
import type { TransportFactory, TransportSettings } from './core/transport-definition.js';
import { DEFAULT_BUS } from './event-bus.constants.js';
import type { EventBusModuleOptions } from './event-bus.lifecycle.js';
import { rendezvousOf } from './rendezvous/rendezvous.factory.js';
import type { RendezvousService } from './rendezvous/rendezvous.service.js';
import { CommandBus } from './rpc/command-bus.js';
import { startupGate } from './startup/startup-gate.js';
import { type ChosenTransport, TransportRegistry } from './transports/transport.registry.js';

/** A transport of the options, ready to be built; or the user's own instance. */
export type Chosen =
  | { readonly own: Transport }
  | { readonly factory: TransportFactory; readonly settings: () => TransportSettings };

/** A bus with what it is made of. It is not connected: `bus.prepare()` does that, and whoever made it closes it. */
export interface MadeBus extends EventBusParts {
  readonly bus: CommandBus;
}

export interface MakeOptions extends Pick<EventBusParts, 'record'> {
  /** What is used in place of a transport that was handed in ready-made. Default: itself. */
  readonly borrow?: (own: Transport) => Transport;
}

/**
 * A bus outside of Nest's container: classes of the user's own are made without arguments.
 *
 * @throws ConfigurationError with all problems at once
 */
export async function createEventBus(
  raw: EventBusModuleOptions,
  { borrow, record }: MakeOptions = {},
): Promise<MadeBus> {
  const options = await resolveAll(raw);
  const choice = await chooseTransport(raw, options);
  const maker = new PartMaker(raw, options, async (type) => new type());
  const exchange = await maker.exchange();
  const startup = maker.startup();
  const logger = loggerOf(raw);
  let found: RendezvousService | undefined;
  const rendezvous = (): RendezvousService => {
    found ??= rendezvousOf(bus, options, exchange, logger);
    return found;
  };
  const parts: EventBusParts = {
    name: DEFAULT_BUS,
    options,
    exchange,
    exchanges: await maker.exchanges(),
    serializer: await maker.serializer(),
    accept: await maker.accept(),
    inbox: raw.inbox,
    scope: new HandlerScope(),
    logger,
    gate: startup && startupGate({ policy: startup, bus: DEFAULT_BUS, service: options.service, logger, rendezvous }),
    record,
    transport: 'own' in choice && borrow ? borrow(choice.own) : transportOf(choice, connectionOf(choice)),
  };
  const bus = new CommandBus(parts);
  return { ...parts, bus };
}

/** @throws ConfigurationError with the problems of the bus and of its transport, all at once */
export async function resolveAll(raw: EventBusModuleOptions): Promise<ResolvedOptions> {
  const problems = await problemsOf(raw);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return resolveOptions(raw);
}

/**
 * What is wrong with the options of the bus and of its transport. Each complaint begins with the path of its option.
 *
 * @param extras options that are allowed besides
 */
export async function problemsOf(raw: EventBusModuleOptions, extras: Shape = {}): Promise<readonly string[]> {
  const problems = optionProblems(raw, extras);
  try {
    const chosen = typeof raw === 'object' && raw !== null ? choose(raw) : undefined;
    if (chosen) problems.push(...((await chosen.definition.load()).problems?.(chosen.options) ?? []));
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    // when the option itself is wrong, that has been said already
    if (!problems.some((problem) => problem.startsWith('transport'))) problems.push(...error.problems);
  }
  return problems;
}

export async function chooseTransport(
  raw: EventBusModuleOptions,
  { service, publish }: ResolvedOptions,
): Promise<Chosen> {
  const chosen = choose(raw);
  if (!chosen) return { own: raw.transport as Transport };
  const { definition, options } = chosen;
  // a function, because the options hold credentials, and providers are printed
  const settings = (): TransportSettings => ({ options, service, publish, logger: loggerOf(raw) });
  return { factory: await definition.load(), settings };
}

export function connectionOf(choice: Chosen): Connection {
  return 'own' in choice ? choice.own.connection : choice.factory.createConnection(choice.settings());
}

export function transportOf(choice: Chosen, connection: Connection): Transport {
  return 'own' in choice ? choice.own : choice.factory.createTransport(choice.settings(), connection);
}

export function loggerOf({ logger }: EventBusModuleOptions): BusLogger {
  return logger ?? new Logger('EventBus');
}

/** Which registered transport is meant; none when the option is an instance of the user's own. */
function choose({ transport = 'memory:', transports }: EventBusModuleOptions): ChosenTransport | undefined {
  if (isTransport(transport)) return undefined;
  return new TransportRegistry(transports).choose(transport);
}
