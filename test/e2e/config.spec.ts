import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { ConfigModule, ConfigService, registerAs } from '@nestjs/config';
import {
  ConfigurationError,
  EventBusModule,
  type EventBusModuleOptions,
  type EventBusTokenKind,
  getEventBusToken,
  type LoadEventBusConfigOptions,
  loadEventBusConfig,
  OnEvent,
  type Serializer,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabParts, withLab } from '../support/lab.js';
import { ConfigFolder } from '../unit/support/config-folder.js';

const urls = ['memory:', ...((await isReachable(RABBITMQ)) ? [RABBITMQ.url] : [])].map(
  (url) => [url.split(':', 1)[0] as string, url] as const,
);

const FILES = {
  'event-bus.jsonc': `{
    // names come from the lab, so that runs do not meet
    "service": "\${SERVICE}",
    "exchange": { "name": "\${EXCHANGE}", "type": "topic" },
    "transport": "\${BROKER_URL:-memory:}",
    "[import]": "./consume.jsonc",
    "logger": { "[module]": "./parts.mjs#Quiet", "args": ["lab"] },
    "shutdown": { "deadlineMs": \${DEADLINE_MS:-3000} },
  }`,
  'consume.jsonc':
    '{ "consume": { "retry": { "fixed": { "attempts": 3, "delayMs": 1 }, "retryable": "./parts.mjs#isRetryable" } } }',
  'event-bus.test.jsonc': '{ "serializer": "./parts.mjs#Stamped" }',
  'parts.mjs': `
export class Quiet {
  constructor(name) { this.name = name; }
  log() {} warn() {} error() {}
}
export const isRetryable = (error) => error.message !== 'for ever';
export class Stamped {
  contentType = 'application/x-stamped';
  encode(payload) { return Buffer.from('stamped:' + JSON.stringify(payload)); }
  decode(body) { return JSON.parse(Buffer.from(body).toString().slice('stamped:'.length)); }
}`,
};

function settings(lab: Lab): LoadEventBusConfigOptions {
  return { env: { SERVICE: lab.service, EXCHANGE: lab.exchange, BROKER_URL: lab.url }, environment: 'test' };
}

/** A listener whose runs fail: those of `again` until the third, those of `once` for ever. */
function listenerOf(seen: Log<unknown>) {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*')
    on(payload: { readonly id: string }): void {
      seen.add(payload.id);
      if (payload.id === 'once') throw new Error('for ever');
      if (seen.items.filter((id) => id === payload.id).length < 3) throw new Error('for now');
    }
  }
  return OrderListener;
}

/** What a bus of these files does, whichever way it got them. */
async function outcomeOf(lab: Lab, imports: NonNullable<LabParts['imports']>): Promise<unknown> {
  const seen = new Log<unknown>('runs');
  const { app, bus, deadLetters } = await lab.boot({ bare: true, imports, providers: [listenerOf(seen)] });
  await bus.publish('orders.created', { id: 'again' });
  await bus.publish('orders.created', { id: 'once' });
  const runs = await seen.settle(4);
  const part = (kind: EventBusTokenKind): unknown => app.get(getEventBusToken(kind) as string, { strict: false });
  return {
    again: runs.filter((id) => id === 'again').length,
    once: runs.filter((id) => id === 'once').length,
    dead: (await deadLetters.list(`${lab.service}.OrderListener.on`)).map(({ payload }) => payload),
    contentType: (part('serializer') as Serializer).contentType,
    logger: (part('options') as EventBusModuleOptions).logger,
  };
}

const OUTCOME = {
  again: 3,
  once: 1,
  dead: [{ id: 'once' }],
  contentType: 'application/x-stamped',
  logger: expect.objectContaining({ name: 'lab' }),
};

describe.each(urls)('a bus of a configuration file, %s', (_, url) => {
  it(
    'by forRoot',
    withLab(url, async (lab) => {
      using folder = new ConfigFolder(FILES);
      const options = await loadEventBusConfig(folder.path, settings(lab));
      expect(await outcomeOf(lab, [EventBusModule.forRoot(options)])).toEqual(OUTCOME);
    }),
  );

  it(
    'by forRootAsync',
    withLab(url, async (lab) => {
      using folder = new ConfigFolder(FILES);
      const useFactory = () => loadEventBusConfig(folder.path, settings(lab));
      expect(await outcomeOf(lab, [EventBusModule.forRootAsync({ useFactory })])).toEqual(OUTCOME);
    }),
  );

  it(
    'by the ConfigService of @nestjs/config',
    withLab(url, async (lab) => {
      using folder = new ConfigFolder(FILES);
      const load = [registerAs('eventBus', () => loadEventBusConfig(folder.path, settings(lab)))];
      const imports = [
        ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, load }),
        EventBusModule.forRootAsync({
          inject: [ConfigService],
          useFactory: (config: ConfigService) => config.getOrThrow<EventBusModuleOptions>('eventBus'),
        }),
      ];
      expect(await outcomeOf(lab, imports)).toEqual(OUTCOME);
    }),
  );

  it(
    'by a configuration that @nestjs/config registers',
    withLab(url, async (lab) => {
      using folder = new ConfigFolder(FILES);
      const eventBusConfig = registerAs('eventBus', () => loadEventBusConfig(folder.path, settings(lab)));
      const imports = [
        ConfigModule.forRoot({ ignoreEnvFile: true, load: [eventBusConfig] }),
        EventBusModule.forRootAsync(eventBusConfig.asProvider()),
      ];
      expect(await outcomeOf(lab, imports)).toEqual(OUTCOME);
    }),
  );

  it(
    'by the ConfigService of @nestjs/config, without a name of its own',
    withLab(url, async (lab) => {
      using folder = new ConfigFolder(FILES);
      const load = [() => loadEventBusConfig(folder.path, settings(lab))];
      const KEYS = ['service', 'exchange', 'transport', 'consume', 'logger', 'shutdown', 'serializer'] as const;
      const imports = [
        ConfigModule.forRoot({ isGlobal: true, ignoreEnvFile: true, load }),
        EventBusModule.forRootAsync({
          inject: [ConfigService],
          useFactory: (config: ConfigService) => Object.fromEntries(KEYS.map((key) => [key, config.get(key)])),
        }),
      ];
      expect(await outcomeOf(lab, imports)).toEqual(OUTCOME);
    }),
  );
});

describe('what is wrong', () => {
  it(
    'fails the boot, with its lines',
    withLab(undefined, async (lab) => {
      using folder = new ConfigFolder({ 'event-bus.jsonc': '{\n  "publish": { "windw": 5 }\n}' });
      const useFactory = () => loadEventBusConfig(folder.path);
      const error = await lab.bootFails({ bare: true, imports: [EventBusModule.forRootAsync({ useFactory })] });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/event-bus\.jsonc:2: publish\.windw is not an option\. Did you mean "window"\?$/);
    }),
  );

  it(
    'a name that a file gives to forRootAsync is refused, since modules are put together before',
    withLab(undefined, async (lab) => {
      using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "name": "audit", "isGlobal": false }' });
      const useFactory = () => loadEventBusConfig(folder.path);
      const error = await lab.bootFails({ bare: true, imports: [EventBusModule.forRootAsync({ useFactory })] });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/^name and isGlobal must stand beside the factory/);
    }),
  );

  it(
    'a name that a file gives to forRoot is that of the bus',
    withLab(undefined, async (lab) => {
      using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "name": "audit" }' });
      const app = lab.track(
        await lab.compile({ bare: true, imports: [EventBusModule.forRoot(await loadEventBusConfig(folder.path))] }),
      );
      await app.init();
      expect(app.get(getEventBusToken('service', 'audit') as string, { strict: false })).toHaveProperty(
        'name',
        'audit',
      );
      await app.close();
    }),
  );
});
