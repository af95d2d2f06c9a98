import type { Provider, Type } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { DeadLetterService } from './bus/dead-letter.service.js';
import { HandlerScope } from './bus/handler-scope.js';
import { decoderOf } from './bus/message-decoder.js';
import { PartMaker } from './bus/part-maker.js';
import { qualify, type ResolvedOptions } from './bus/resolved-options.js';
import type { ExchangeHandler } from './core/exchange.js';
import type { Serializer } from './core/serializer.js';
import type { Transport } from './core/transport.js';
import { type Chosen, connectionOf, loggerOf, resolveAll, transportOf } from './create-event-bus.js';
import { getEventBusToken } from './event-bus.constants.js';
import { EVENT_BUS_NAME } from './event-bus.explorer.js';
import { type EventBusModuleOptions, LIFECYCLE_PARTS } from './event-bus.lifecycle.js';
import type { EventBusService } from './event-bus.service.js';
import { BUS_SURROUNDINGS, type BusSurroundings, OUTSIDE } from './event-bus.surroundings.js';
import { rendezvousOf } from './rendezvous/rendezvous.factory.js';
import type { RendezvousService } from './rendezvous/rendezvous.service.js';
import { startupGate } from './startup/startup-gate.js';

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
    { provide: BUS_SURROUNDINGS, useValue: OUTSIDE },
    {
      provide: chosen,
      inject: [BUS_SURROUNDINGS, token('options'), resolved],
      useFactory: (around: BusSurroundings, raw: EventBusModuleOptions, options: ResolvedOptions): Promise<Chosen> =>
        around.chooseTransport(raw, options, name),
    },
    {
      provide: parts,
      inject: [token('options'), resolved, ModuleRef],
      useFactory: (raw: EventBusModuleOptions, options: ResolvedOptions, moduleRef: ModuleRef): PartMaker =>
        new PartMaker(raw, options, (type) => moduleRef.create(type as unknown as Type)),
    },
    {
      provide: token('connection'),
      inject: [chosen],
      useFactory: connectionOf,
    },
    {
      provide: token('transport'),
      inject: [chosen, token('connection')],
      useFactory: transportOf,
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
        BUS_SURROUNDINGS,
        token('options'),
        resolved,
        token('transport'),
        token('exchangeHandler'),
        others,
        token('serializer'),
        accepted,
        HandlerScope,
        parts,
        ModuleRef,
      ],
      useFactory: (
        around: BusSurroundings,
        raw: EventBusModuleOptions,
        options: ResolvedOptions,
        transport: Transport,
        exchange: ExchangeHandler,
        exchanges: Readonly<Record<string, ExchangeHandler>>,
        serializer: Serializer,
        accept: readonly Serializer[],
        scope: HandlerScope,
        maker: PartMaker,
        moduleRef: ModuleRef,
      ): EventBusService => {
        const { inbox } = raw;
        const logger = loggerOf(raw);
        const startup = maker.startup();
        // which is made of the bus
        const rendezvous = (): RendezvousService => moduleRef.get(token('rendezvous'));
        return around.createBus({
          name,
          options,
          transport,
          exchange,
          exchanges,
          serializer,
          accept,
          inbox,
          scope,
          logger,
          gate: startup && startupGate({ policy: startup, bus: name, service: options.service, logger, rendezvous }),
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
      provide: token('rendezvous'),
      inject: [instance, token('options'), resolved, token('exchangeHandler')],
      useFactory: (
        bus: EventBusService,
        raw: EventBusModuleOptions,
        options: ResolvedOptions,
        handler: ExchangeHandler,
      ) => rendezvousOf(bus, options, handler, loggerOf(raw)),
    },
    {
      provide: LIFECYCLE_PARTS,
      inject: [instance, token('options'), token('transport'), resolved],
      useFactory: (
        bus: EventBusService,
        options: EventBusModuleOptions,
        transport: Transport,
        { exchange }: ResolvedOptions,
      ) => ({ bus, options, transport, exchange: exchange.name }),
    },
  ];
}
