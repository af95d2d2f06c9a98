import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, ValidationError } from '../../../lib/index.js';
import { onBus, PLACES, type Stand, settleAll } from '../../support/catalogue.js';

/** What comes to each key when the patterns are published in this order, and when as many have come as are expected. */
async function reach(
  { listen, publish }: Stand,
  published: readonly string[],
  expected: Readonly<Record<string, readonly string[]>>,
): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const logs = await Promise.all(
    Object.entries(expected).map(async ([key, patterns]) => [key, await listen(key), patterns] as const),
  );
  await publish(...published);
  await settleAll(logs.map(([, log, patterns]) => [log, patterns]));
  return Object.fromEntries(logs.map(([key, { items }]) => [key, items]));
}

const one = (pattern: string, keys: readonly string[]): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(keys.map((key) => [key, [pattern]]));

describe.each(PLACES)('catalogue on %s: reversed topics', (_, url) => {
  const on = (body: (stand: Stand) => Promise<void>) => onBus(url, 'x-rtopic', body);

  it(
    '0011 one word is open',
    on(async (stand) => {
      const pattern = 'events.*.login';
      const expected = {
        ...one(pattern, ['events.user.login', 'events.admin.login', 'events.guest.login']),
        'events.user.logout': [],
        'events.login': [],
      };
      expect(await reach(stand, [pattern], expected)).toEqual(expected);
    }),
  );

  it(
    '0012 any number of words at the end',
    on(async (stand) => {
      const keys = ['logs.app', 'logs.app.error', 'logs.app.error.db', 'logs.app.error.db.timeout'];
      const expected = { ...one('logs.#', keys), 'log.app': [] };
      expect(await reach(stand, ['logs.#'], expected)).toEqual(expected);
    }),
  );

  it(
    '0013 one word, and any number at the end',
    on(async (stand) => {
      const pattern = 'events.*.system.#';
      const tails = ['', '.start', '.start.now', '.stop', '.stop.at.once'];
      const expected = {
        ...one(
          pattern,
          tails.map((tail) => `events.user.system${tail}`),
        ),
        'events.system.start': [],
      };
      expect(await reach(stand, [pattern], expected)).toEqual(expected);
    }),
  );

  it(
    '0014 five events arrive in order',
    on(async ({ bus, listen }) => {
      const seen = await listen('events.user.login');
      for (const n of [1, 2, 3, 4, 5]) await bus.publish('events.*.login', n);
      expect(await seen.settle(5)).toEqual([1, 2, 3, 4, 5]);
    }),
  );

  it(
    '0015 three patterns reach their own subscribers',
    on(async (stand) => {
      const expected = {
        'events.user.login': ['events.*.login'],
        'logs.app.error': ['logs.#'],
        'logs.db': ['logs.#'],
        'metrics.cpu.load': ['metrics.cpu.*'],
      };
      expect(await reach(stand, ['events.*.login', 'logs.#', 'metrics.cpu.*'], expected)).toEqual(expected);
    }),
  );

  it(
    '0016 keys have case',
    on(async (stand) => {
      const expected = {
        'events.login': ['events.login'],
        'EVENTS.LOGIN': ['EVENTS.LOGIN'],
        'Events.Login': [],
      };
      expect(await reach(stand, ['events.login', 'EVENTS.LOGIN'], expected)).toEqual(expected);
    }),
  );

  it(
    '0017 a topic that is none is refused',
    on(async ({ bus }) => {
      await expect(bus.publish(null as unknown as string, 1)).rejects.toThrow(ConfigurationError);
    }),
  );

  it(
    '0018 a topic of more than 255 bytes is refused',
    on(async ({ bus }) => {
      await expect(bus.publish('*.'.repeat(161), 1)).rejects.toThrow(/has 322 bytes; the limit is 255/);
    }),
  );

  it(
    '0019 a payload that cannot be written is refused',
    on(async ({ bus }) => {
      const publishing = bus.publish('events.*', { big: 1n });
      await expect(publishing).rejects.toThrow(ValidationError);
      await expect(publishing).rejects.toMatchObject({ code: 'UNSERIALIZABLE' });
    }),
  );

  it(
    '0020 a single word is itself',
    on(async (stand) => {
      const expected = { test: ['test'], other: [] };
      expect(await reach(stand, ['test'], expected)).toEqual(expected);
    }),
  );

  it(
    '0021 many open words',
    on(async (stand) => {
      const pattern = 'org.*.dept.*.team.*.project.#';
      const keys = ['', '.x', '.x.y', '.x.y.z', '.1.2.3.4', '.deep.er.and.deep.er'];
      const expected = {
        ...one(
          pattern,
          keys.map((tail) => `org.a.dept.b.team.c.project${tail}`),
        ),
        'org.a.dept.team.c.project': [],
      };
      expect(await reach(stand, [pattern], expected)).toEqual(expected);
    }),
  );

  it(
    '0022 patterns that overlap: 3, 2, 1, 0 and 1',
    on(async (stand) => {
      const expected = {
        'service.user.create': ['service.*.create', 'service.user.*', '*.user.*'],
        'service.user.update': ['service.user.*', '*.user.*'],
        'service.order.create': ['service.*.create'],
        'service.notification.send': [],
        'api.user.delete': ['*.user.*'],
      };
      expect(await reach(stand, ['service.*.create', 'service.user.*', '*.user.*'], expected)).toEqual(expected);
    }),
  );

  it(
    '0023 empty words are words',
    on(async (stand) => {
      const odd = ['service..create', '.service.create', 'service.create.', 'service...create'];
      const expected = {
        ...Object.fromEntries(odd.map((key) => [key, [key]])),
        'service.create': [],
        'service.user.create': [],
        service: [],
        create: [],
      };
      expect(await reach(stand, odd, expected)).toEqual(expected);
    }),
  );

  it(
    '0025 an open event keeps its content',
    on(async ({ bus, listen }) => {
      const seen = await listen('device.sensor.temperature');
      const message = { content: '21.5 °C', headers: { uuid: 'u1' } };
      await bus.publish('device.sensor.*', message);
      expect(await seen.settle(1)).toEqual([message]);
    }),
  );
});
