import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ConfigurationError,
  DirectExchange,
  EVENT_BUS_EXCHANGE_HANDLER,
  EVENT_BUS_OPTIONS,
  EVENT_BUS_SERIALIZER,
  EVENT_BUS_TRANSPORT,
  EventBusModule,
  type EventBusModuleOptions,
  EventBusService,
  JsonSerializer,
  MemoryTransport,
  OnEvent,
  type TransportDefinition,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { MemoryConnection } from '../../lib/transports/memory/memory.connection.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { Lab, withLab } from '../support/lab.js';

const CANARY = 'c4nary';
const NOWHERE = 'amqp://127.0.0.1:1';
const reachable = await isReachable(RABBITMQ);
const urls = ['memory:', ...(reachable ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

function newTransport(): MemoryTransport {
  return new MemoryTransport({
    timeoutMs: 1_000,
    window: 10,
    messages: 10,
    bytes: 10_000,
    onFull: 'reject',
    retain: 0,
  });
}

const seen: Log<unknown>[] = [];
function newLog(): Log<unknown> {
  const log = new Log<unknown>('events');
  seen[0] = log;
  return log;
}

@Injectable()
class OrderListener {
  @OnEvent('orders.*')
  on(payload: unknown): void {
    seen[0]?.add(payload);
  }
}
const providers = [OrderListener];

describe('overrideProvider', () => {
  it(
    'EVENT_BUS_TRANSPORT: nothing connects to the broker of the options',
    withLab(NOWHERE, async (lab) => {
      const log = newLog();
      const transport = newTransport();
      const { app, bus } = await lab.boot({
        providers,
        override: (builder) => builder.overrideProvider(EVENT_BUS_TRANSPORT).useValue(transport),
      });
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
      expect(bus.status).toBe('up');
      await app.close();
      expect(transport.connection.state).toBe('closed');
    }),
  );

  it(
    'EVENT_BUS_OPTIONS: an application for RabbitMQ runs in memory',
    withLab(NOWHERE, async (lab) => {
      const log = newLog();
      const { bus } = await lab.boot({
        providers,
        override: (builder) => builder.overrideProvider(EVENT_BUS_OPTIONS).useValue({ service: 'other' }),
      });
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
      expect(bus.describe()).toMatchObject({ service: 'other', transport: { transport: 'memory' } });
    }),
  );

  it(
    'EVENT_BUS_SERIALIZER: writes and reads every body',
    withLab(undefined, async (lab) => {
      const log = newLog();
      const json = new JsonSerializer();
      const serializer = {
        contentType: 'application/x-shout',
        encode: (value: unknown) => json.encode(String(value).toUpperCase()),
        decode: (body: Uint8Array) => `${String(json.decode(body))}!`,
      };
      const { bus } = await lab.boot({
        providers,
        override: (builder) => builder.overrideProvider(EVENT_BUS_SERIALIZER).useValue(serializer),
      });
      await bus.publish('orders.created', 'hello');
      expect(await log.settle(1)).toEqual(['HELLO!']);
      expect(bus.describe()).toMatchObject({ contentType: 'application/x-shout' });
    }),
  );

  it(
    'EVENT_BUS_EXCHANGE_HANDLER: routes by the other rule',
    withLab(undefined, async (lab) => {
      const log = newLog();
      const { bus } = await lab.boot({
        providers,
        override: (builder) => builder.overrideProvider(EVENT_BUS_EXCHANGE_HANDLER).useClass(DirectExchange),
      });
      expect((await bus.publish('orders.created', 1, { unroutable: 'ignore' })).routed).toBe(false);
      expect((await bus.publish('orders.*', 2)).routed).toBe(true);
      expect(await log.settle(1)).toEqual([2]);
    }),
  );
});

describe('a replaced EventBusService', () => {
  it(
    'with publish alone, as unit tests have it, does not keep the application from booting',
    withLab(undefined, async (lab) => {
      const published: unknown[] = [];
      const fake = { publish: async (topic: string) => void published.push(topic) };
      const app = await lab.compile({
        providers,
        override: (builder) => builder.overrideProvider(EventBusService).useValue(fake),
      });
      await app.init();
      await app.get(EventBusService).publish('orders.created', 1);
      expect(published).toEqual(['orders.created']);
      await app.close();
    }),
  );
});

describe("a user's transport", () => {
  it(
    'as an instance is opened and closed with the application',
    withLab(undefined, async (lab) => {
      const log = newLog();
      const transport = newTransport();
      const { app, bus } = await lab.boot({ providers, options: { transport } });
      expect(app.get(EVENT_BUS_TRANSPORT)).toBe(transport);
      expect(app.get('EVENT_BUS_CONNECTION')).toBe(transport.connection);
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
      await app.close();
      expect(transport.connection.state).toBe('closed');
    }),
  );

  const given: unknown[] = [];
  const definition: TransportDefinition = {
    type: 'paper',
    schemes: ['paper'],
    load: async () => ({
      createConnection: ({ options, service }) => {
        given.push(options, service);
        return new MemoryConnection();
      },
      createTransport: ({ publish: { buffer, ...publish } }, connection) =>
        new MemoryTransport({ ...publish, ...buffer, retain: 0 }, connection as MemoryConnection),
    }),
  };

  it.each([
    ['the scheme of a URL', 'paper://desk/1', { type: 'paper', url: 'paper://desk/1' }],
    ['its type', { type: 'paper', ink: 'blue' }, { type: 'paper', ink: 'blue' }],
  ])('of the registry is chosen by %s', async (_, transport, options) => {
    await withLab(undefined, async (lab) => {
      const log = newLog();
      given.length = 0;
      const { bus } = await lab.boot({ providers, options: { transport, transports: [definition] } });
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
      expect(given).toEqual([options, lab.service]);
    })();
  });
});

describe('bad options', () => {
  const bad = (options: object): Promise<Error> => new Lab().bootFails({ options: options as EventBusModuleOptions });

  it('all problems in one message, with the nearest names', async () => {
    const error = await bad({
      servce: 'x',
      publish: { timeoutMs: -1, buffr: {} },
      consume: { concurency: 3, retry: { delayMs: [1] }, groups: { 'mail.*': { prefetch: 0 } } },
      startup: { mode: 'waiting' },
      autoStart: 'yes',
    });
    expect(error).toBeInstanceOf(ConfigurationError);
    const { problems } = error as ConfigurationError;
    for (const text of [
      /^servce is not an option\. Did you mean "service"/,
      /^publish\.timeoutMs must be a whole number/,
      /^publish\.buffr .*"buffer"/,
      /^consume\.concurency .*"concurrency"/,
      /^consume\.retry\.delayMs .*"delaysMs"/,
      /^consume\.groups\["mail\.\*"\]\.prefetch/,
      /^startup\.mode .*Did you mean "wait"/,
      /^autoStart must be true or false/,
    ])
      expect(problems).toContainEqual(expect.stringMatching(text));
    for (const problem of problems) expect(error.message).toContain(problem);
  });

  it('problems of the transport come together with the others', async () => {
    const error = await bad({ servce: 'x', transport: { type: 'rabbitmq', url: NOWHERE, heartbeat: 3 } });
    expect(error.message).toMatch(/servce/);
    expect(error.message).toMatch(/heartbeat.*heartbeatMs/);
  });

  it.each<readonly [string, object]>([
    ['an unknown scheme', { transport: `amq://user:${CANARY}@127.0.0.1:1` }],
    ['a URL that is none', { transport: `amqp://user:${CANARY}@127.0.0.1:1:1/` }],
    ['a type that is a URL', { transport: { type: `amqp://user:${CANARY}@127.0.0.1:1` } }],
    ['a misspelt password', { transport: { type: 'rabbitmq', url: NOWHERE, pasword: CANARY } }],
    ['two URLs', { transport: { type: 'rabbitmq', url: `amqp://u:${CANARY}@127.0.0.1:1`, urls: [] } }],
    ['a URL as the service', { service: `amqp://user:${CANARY}@127.0.0.1:1` }],
    ['a URL as the exchange', { exchange: `amqp://user:${CANARY}@127.0.0.1:1` }],
    ['a URL as the mode', { startup: { mode: `amqp://user:${CANARY}@127.0.0.1:1` } }],
    ['a password for a number', { publish: { timeoutMs: CANARY } }],
    ['no service', { service: undefined, transport: `amqp://user:${CANARY}@127.0.0.1:1` }],
    ['a closed port', { transport: `amqp://user:${CANARY}@127.0.0.1:1` }],
    ['a URL without slashes', { transport: `amqp:user:${CANARY}@127.0.0.1:1` }],
    ['a URL with one slash', { transport: `amqp:/user:${CANARY}@127.0.0.1:1` }],
    ['a password with a slash', { transport: `amqp://user:1/${CANARY}@127.0.0.1:1` }],
  ])('%s: a typed error without the secret', async (_, options) => {
    const lab = new Lab();
    const error = await lab.bootFails({
      options: { startup: { timeoutMs: 300 }, ...options } as EventBusModuleOptions,
    });
    expect(error.code).toMatch(/^(CONFIGURATION|CONNECTION)$/);
    const said = [error.message, error.stack, JSON.stringify(error), String(error.cause), ...lab.lines].join('\n');
    expect(said).not.toContain(CANARY);
  });

  it('RabbitMQ without a service: says which option and why', async () => {
    const error = await bad({ service: undefined, transport: NOWHERE });
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(/service is required.*names the queues/);
  });
});

// `instrument` came with Nest 12
const only12 = process.env.NEST === '11' ? describe.skip : describe;
only12.each(urls)('instrumented providers on %s', (_, url) => {
  it(
    'work behind a Proxy',
    withLab(url, async (lab) => {
      const log = newLog();
      @Module({ imports: [EventBusModule.forRoot(lab.options())], providers })
      class AppModule {}
      const app = lab.track(
        await NestFactory.createApplicationContext(AppModule, {
          logger: false,
          abortOnError: false,
          instrument: {
            instanceDecorator: (instance: unknown) =>
              typeof instance === 'object' && instance !== null ? new Proxy(instance, {}) : instance,
          },
        } as object),
      );
      lab.remember(app);
      const bus = app.get(EventBusService);
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
      expect(bus.status).toBe('up');
      await app.close();
      expect(bus.status).toBe('closed');
    }),
  );
});
