import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  ConfigurationError,
  EventBusModule,
  type EventBusModuleAsyncOptions,
  type EventBusModuleOptions,
  type EventBusOptionsFactory,
  EventBusService,
  type EventBusTokenKind,
  getEventBusToken,
  InjectEventBus,
  OnEvent,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { Lab, withLab } from '../support/lab.js';

const KINDS: readonly EventBusTokenKind[] = [
  'options',
  'connection',
  'exchangeHandler',
  'serializer',
  'transport',
  'service',
  'deadLetters',
];
const urls = ['memory:', ...((await isReachable(RABBITMQ)) ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

/** A provider that keeps what it is sent. */
function listener(seen: Log<unknown>, pattern: string, bus?: string) {
  @Injectable()
  class OrderListener {
    @OnEvent(pattern, bus === undefined ? {} : { bus })
    on(payload: unknown): void {
      seen.add(payload);
    }
  }
  return OrderListener;
}

describe('forRoot', () => {
  it('without an argument is a bus in memory', async () => {
    const seen = new Log<unknown>('events');
    @Module({ imports: [EventBusModule.forRoot()], providers: [listener(seen, 'orders.*')] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    const bus = app.get(EventBusService);
    expect(bus.name).toBe('default');
    expect(bus.status).toBe('up');
    expect(await bus.publish('orders.created', 1)).toMatchObject({ state: 'confirmed', routed: true });
    expect(await seen.settle(1)).toEqual([1]);
    await app.close();
    expect(bus.status).toBe('closed');
  });

  it('refuses a name that cannot be one, at once', () => {
    expect(() => EventBusModule.forRoot({ name: 'a b' })).toThrow(ConfigurationError);
    expect(() => EventBusModule.forRoot({ name: '' })).toThrow(ConfigurationError);
  });

  it(
    'twice for the same bus is an error that says so',
    withLab(undefined, async (lab) => {
      @Module({ imports: [EventBusModule.forRoot(lab.options())] })
      class FeatureModule {}
      const error = await lab.bootFails({ imports: [FeatureModule] });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/imported 2 times .*"default"/);
    }),
  );

  it(
    'isGlobal: false hides the bus from modules that do not import it',
    withLab(undefined, async (lab) => {
      @Injectable()
      class Publisher {
        constructor(readonly bus: EventBusService) {}
      }
      const busModule = EventBusModule.forRoot({ ...lab.options(), isGlobal: false });
      @Module({ providers: [Publisher] })
      class Outsider {}
      @Module({ imports: [busModule], providers: [Publisher] })
      class Insider {}
      await expect(lab.compile({ bare: true, imports: [busModule, Outsider] })).rejects.toThrow(/EventBusService/);
      const { app } = await lab.boot({ bare: true, imports: [busModule, Insider] });
      expect(app.get(Publisher, { strict: false }).bus).toBe(app.get(EventBusService, { strict: false }));
    }),
  );
});

describe('forRootAsync', () => {
  const NAME = Symbol('service name');
  @Module({ providers: [{ provide: NAME, useValue: 'configured' }], exports: [NAME] })
  class ConfigModule {}

  @Injectable()
  class BusConfig implements EventBusOptionsFactory {
    constructor(@Inject(NAME) private readonly service: string) {}
    createEventBusOptions(): EventBusModuleOptions {
      return { service: this.service };
    }
  }
  @Module({ imports: [ConfigModule], providers: [BusConfig], exports: [BusConfig] })
  class BusConfigModule {}

  const ways: readonly (readonly [string, EventBusModuleAsyncOptions])[] = [
    ['useFactory', { imports: [ConfigModule], inject: [NAME], useFactory: (service: string) => ({ service }) }],
    ['an async useFactory', { imports: [ConfigModule], inject: [NAME], useFactory: async (service) => ({ service }) }],
    ['useClass', { imports: [ConfigModule], useClass: BusConfig }],
    ['useExisting', { imports: [BusConfigModule], useExisting: BusConfig }],
  ];

  it.each(ways)('takes options from %s', async (_, options) => {
    const app = await Test.createTestingModule({ imports: [EventBusModule.forRootAsync(options)] }).compile();
    await app.init();
    expect(app.get(EventBusService).describe()).toMatchObject({ service: 'configured', status: 'up' });
    expect(app.get('EVENT_BUS_OPTIONS')).toEqual({ service: 'configured' });
    await app.close();
  });

  const useFactory = (): EventBusModuleOptions => ({});
  it.each<readonly [string, EventBusModuleAsyncOptions]>([
    ['none of them', {}],
    ['useFactory and useClass', { useFactory, useClass: BusConfig }],
    ['useClass and useExisting', { useClass: BusConfig, useExisting: BusConfig }],
  ])('refuses %s, at once', (_, options) => {
    expect(() => EventBusModule.forRootAsync(options)).toThrow(/exactly one of useFactory, useClass and useExisting/);
  });

  const compile = (factory: () => EventBusModuleOptions) =>
    Test.createTestingModule({ imports: [EventBusModule.forRootAsync({ useFactory: factory })] }).compile();

  it('passes on the error of a factory, and says what is wrong with its options', async () => {
    await expect(
      compile(() => {
        throw new Error('no vault');
      }),
    ).rejects.toThrow('no vault');
    await expect(compile(() => ({ servce: 'x' }) as EventBusModuleOptions)).rejects.toThrow(/Did you mean "service"/);
  });

  it('a factory that returns nothing (forgotten parentheses around its object) is a configuration error', async () => {
    await expect(compile(() => undefined as never)).rejects.toThrow(ConfigurationError);
  });
});

describe('named buses', () => {
  it(
    'each has parts of its own, and handlers by their bus option',
    withLab(undefined, async (lab) => {
      @Injectable()
      class Publisher {
        constructor(
          readonly plain: EventBusService,
          @InjectEventBus() readonly byDefault: EventBusService,
          @InjectEventBus('audit') readonly audit: EventBusService,
        ) {}
      }
      const [orders, audits] = [new Log<unknown>('orders'), new Log<unknown>('audits')];
      const { app } = await lab.boot({
        imports: [EventBusModule.forRoot({ name: 'audit', ...lab.options({ service: 'audit-service' }) })],
        providers: [Publisher, listener(orders, 'orders.*'), listener(audits, 'orders.*', 'audit')],
      });
      const { plain, byDefault, audit } = app.get(Publisher);
      expect(byDefault).toBe(plain);
      expect([plain.name, audit.name]).toEqual(['default', 'audit']);
      for (const kind of KINDS) {
        const [own, other] = [
          app.get<unknown>(getEventBusToken(kind)),
          app.get<unknown>(getEventBusToken(kind, 'audit')),
        ];
        expect(own).toBeDefined();
        expect(other).toBeDefined();
        expect({ kind, same: own === other }).toEqual({ kind, same: false });
      }
      expect(app.get<unknown>(getEventBusToken('service', 'audit'))).toBe(audit);
      await plain.publish('orders.created', 'plain');
      await audit.publish('orders.created', 'audit');
      expect(await orders.settle(1)).toEqual(['plain']);
      expect(await audits.settle(1)).toEqual(['audit']);
      expect(Object.keys(audit.stats().groups)).toEqual(['audit-service.OrderListener.on']);
    }),
  );

  it(
    'a handler of an unknown bus is an error that names its place and the known ones',
    withLab(undefined, async (lab) => {
      const error = await lab.bootFails({
        imports: [EventBusModule.forRoot({ name: 'audit' })],
        providers: [listener(new Log(), 'orders.*', 'adit')],
      });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/OrderListener\.on \(.+\).*"adit".*default.*audit/);
    }),
  );

  it(
    'a handler of the default bus where there are only named ones is an error, too',
    withLab(undefined, async (lab) => {
      const app = await lab.compile({
        bare: true,
        imports: [EventBusModule.forRoot({ name: 'audit' })],
        providers: [listener(new Log(), 'orders.*')],
      });
      await expect(app.init()).rejects.toThrow(/OrderListener\.on .*"default".*Known: audit/);
    }),
  );
});

describe.each(urls)('several applications in one process on %s', (_, url) => {
  it('do not hear each other, and one closes without the other', async () => {
    const [one, two] = [new Lab(url), new Lab(url)];
    try {
      const [first, second] = [new Log<unknown>('events'), new Log<unknown>('events')];
      const a = await one.boot({ providers: [listener(first, '#')] });
      const b = await two.boot({ providers: [listener(second, '#')] });
      await Promise.all([a.bus.publish('orders.created', 'a'), b.bus.publish('orders.created', 'b')]);
      expect(await first.settle(1)).toEqual(['a']);
      expect(await second.settle(1)).toEqual(['b']);
      await a.app.close();
      expect(b.bus.status).toBe('up');
      await b.bus.publish('orders.created', 'b again');
      expect(await second.settle(2)).toEqual(['b', 'b again']);
    } finally {
      await Promise.all([one.dispose(), two.dispose()]);
    }
  });
});
