import { Logger, type Provider, type Type } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { DeadLetterService } from './bus/dead-letter.service.js';
import { decoderOf } from './bus/message-decoder.js';
import { isTransport, optionProblems } from './bus/option-checks.js';
import { PartMaker } from './bus/part-maker.js';
import { qualify, type ResolvedOptions, resolveOptions } from './bus/resolved-options.js';
import { ConfigurationError } from './core/errors.js';
import type { ExchangeHandler } from './core/exchange.js';
import type { BusLogger } from './core/logger.js';
import type { Shape } from './core/options.js';
import type { Serializer } from './core/serializer.js';
import type { Connection, Transport } from './core/transport.js';
import type { TransportFactory, TransportSettings } from './core/transport-definition.js';
import { getEventBusToken } from './event-bus.constants.js';
import { EVENT_BUS_NAME } from './event-bus.explorer.js';
import { type EventBusModuleOptions, LIFECYCLE_PARTS } from './event-bus.lifecycle.js';
import { EventBusService } from './event-bus.service.js';
import { type ChosenTransport, TransportRegistry } from './transports/transport.registry.js';

/** A transport of the options, ready to be built; or the user's own instance. */
type Chosen =
  | { readonly own: Transport }
  | { readonly factory: TransportFactory; readonly settings: () => TransportSettings };

/** What a bus is made of, each part under its own token, so that tests can replace it. */
export function createBusProviders(name: string): readonly Provider[] {
  const token = (kind: Parameters<typeof getEventBusToken>[0]): ReturnType<typeof getEventBusToken> =>
    getEventBusToken(kind, name);
  const resolved = `EVENT_BUS_RESOLVED_OPTIONS:${name}`;
  // what runs is not what is injected: a test that replaces the service still gets an application that boots
  const instance = `EVENT_BUS_INSTANCE:${name}`;
  const chosen = `EVENT_BUS_CHOSEN_TRANSPORT:${name}`;
  const parts = `EVENT_BUS_PARTS:${name}`;
  const others = `EVENT_BUS_OTHER_EXCHANGES:${name}`;
  const accepted = `EVENT_BUS_ACCEPTED_SERIALIZERS:${name}`;
  return [
    { provide: EVENT_BUS_NAME, useValue: name },
    { provide: resolved, inject: [token('options')], useFactory: resolveAll },
    { provide: chosen, inject: [token('options'), resolved], useFactory: chooseTransport },
    {
      provide: parts,
      inject: [token('options'), resolved, ModuleRef],
      useFactory: (raw: EventBusModuleOptions, options: ResolvedOptions, moduleRef: ModuleRef): PartMaker =>
        new PartMaker(raw, options, (type) => moduleRef.create(type as unknown as Type)),
    },
    {
      provide: token('connection'),
      inject: [chosen],
      useFactory: (choice: Chosen): Connection =>
        'own' in choice ? choice.own.connection : choice.factory.createConnection(choice.settings()),
    },
    {
      provide: token('transport'),
      inject: [chosen, token('connection')],
      useFactory: (choice: Chosen, connection: Connection): Transport =>
        'own' in choice ? choice.own : choice.factory.createTransport(choice.settings(), connection),
    },
    {
      provide: token('exchangeHandler'),
      inject: [parts],
      useFactory: (maker: PartMaker): Promise<ExchangeHandler> => maker.exchange(),
    },
    {
      provide: others,
      inject: [parts],
      useFactory: (maker: PartMaker): Promise<Readonly<Record<string, ExchangeHandler>>> => maker.exchanges(),
    },
    {
      provide: token('serializer'),
      inject: [parts],
      useFactory: (maker: PartMaker): Promise<Serializer> => maker.serializer(),
    },
    {
      provide: accepted,
      inject: [parts],
      useFactory: (maker: PartMaker): Promise<readonly Serializer[]> => maker.accept(),
    },
    { provide: token('service'), useExisting: instance },
    {
      provide: instance,
      inject: [
        token('options'),
        resolved,
        token('transport'),
        token('exchangeHandler'),
        others,
        token('serializer'),
        accepted,
      ],
      useFactory: (
        raw: EventBusModuleOptions,
        options: ResolvedOptions,
        transport: Transport,
        exchange: ExchangeHandler,
        exchanges: Readonly<Record<string, ExchangeHandler>>,
        serializer: Serializer,
        accept: readonly Serializer[],
      ) => {
        const { inbox } = raw;
        return new EventBusService({
          name,
          options,
          transport,
          exchange,
          exchanges,
          serializer,
          accept,
          inbox,
          logger: loggerOf(raw),
        });
      },
    },
    {
      provide: token('deadLetters'),
      inject: [resolved, token('transport'), token('serializer'), accepted],
      useFactory: (
        options: ResolvedOptions,
        transport: Transport,
        serializer: Serializer,
        accept: readonly Serializer[],
      ) =>
        new DeadLetterService(transport.deadLetters, decoderOf({ serializer, accept, options }), (group) =>
          qualify(options, group),
        ),
    },
    {
      provide: LIFECYCLE_PARTS,
      inject: [instance, token('options'), token('transport')],
      useFactory: (bus: EventBusService, options: EventBusModuleOptions, transport: Transport) => ({
        bus,
        options,
        transport,
      }),
    },
  ];
}

/** @throws ConfigurationError with the problems of the bus and of its transport, all at once */
async function resolveAll(raw: EventBusModuleOptions): Promise<ResolvedOptions> {
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

async function chooseTransport(raw: EventBusModuleOptions, { service, publish }: ResolvedOptions): Promise<Chosen> {
  const chosen = choose(raw);
  if (!chosen) return { own: raw.transport as Transport };
  const { definition, options } = chosen;
  // a function, because the options hold credentials, and providers are printed
  const settings = (): TransportSettings => ({ options, service, publish, logger: loggerOf(raw) });
  return { factory: await definition.load(), settings };
}

/** Which registered transport is meant; none when the option is an instance of the user's own. */
function choose({ transport = 'memory:', transports }: EventBusModuleOptions): ChosenTransport | undefined {
  if (isTransport(transport)) return undefined;
  return new TransportRegistry(transports).choose(transport);
}

function loggerOf({ logger }: EventBusModuleOptions): BusLogger {
  return logger ?? new Logger('EventBus');
}
