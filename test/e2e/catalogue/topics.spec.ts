import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, ValidationError } from '../../../lib/index.js';
import { onBus, PLACES, type Stand, settleAll } from '../../support/catalogue.js';

describe.each(PLACES)('catalogue on %s: topics', (_, url) => {
  const on = (body: (stand: Stand) => Promise<void>) => onBus(url, 'topic', body);

  it(
    '0001 one event reaches the subscriber of its topic',
    on(async ({ bus, listen }) => {
      const seen = await listen('orders.created');
      await bus.publish('orders.created', { content: 'hello' });
      expect(await seen.settle(1)).toEqual([{ content: 'hello' }]);
    }),
  );

  it(
    '0002 five events arrive in order',
    on(async ({ bus, listen }) => {
      const seen = await listen('orders.created');
      for (const n of [1, 2, 3, 4, 5]) await bus.publish('orders.created', n);
      expect(await seen.settle(5)).toEqual([1, 2, 3, 4, 5]);
    }),
  );

  it(
    '0003 three subscribers of one topic get one copy each',
    on(async ({ bus, listen }) => {
      const logs = [await listen('orders.created'), await listen('orders.created'), await listen('orders.created')];
      await bus.publish('orders.created', 1);
      await settleAll(logs.map((log) => [log, 1]));
      expect(logs.map(({ items }) => items)).toEqual([[1], [1], [1]]);
    }),
  );

  it(
    '0004 one subscriber gets the events of three publishers',
    on(async ({ bus, lab, listen }) => {
      const seen = await listen('orders.created');
      // processes of their own share a broker; what is in memory belongs to one process
      const others = lab.url.startsWith('memory')
        ? [bus, bus]
        : [(await lab.boot({ options: { service: `${lab.service}.2` } })).bus, (await lab.boot()).bus];
      await Promise.all([bus, ...others].map((publisher, i) => publisher.publish('orders.created', `publisher ${i}`)));
      expect(new Set(await seen.settle(3))).toEqual(new Set(['publisher 0', 'publisher 1', 'publisher 2']));
    }),
  );

  it(
    '0005 wildcards reach what they stand for',
    on(async ({ listen, publish }) => {
      const logins = await listen('events.*.login');
      const logs = await listen('logs.#');
      await publish('events.user.login', 'logs.app.error.db', 'events.user.logout', 'events.login');
      expect(await logins.settle(1)).toEqual(['events.user.login']);
      expect(await logs.settle(1)).toEqual(['logs.app.error.db']);
    }),
  );

  it(
    '0006 topics have case',
    on(async ({ listen, publish }) => {
      const lower = await listen('orders.created');
      const upper = await listen('Orders.Created');
      await publish('orders.created', 'Orders.Created');
      expect(await lower.settle(1)).toEqual(['orders.created']);
      expect(await upper.settle(1)).toEqual(['Orders.Created']);
    }),
  );

  it(
    '0007 a topic that is none is refused',
    on(async ({ bus }) => {
      for (const topic of [null, undefined, 7]) {
        const publishing = bus.publish(topic as unknown as string, 1);
        await expect(publishing).rejects.toThrow(ConfigurationError);
      }
    }),
  );

  it(
    '0008 a wildcard is a whole word, else a letter; a pattern that is none is refused',
    on(async ({ bus, listen, publish }) => {
      const part = await listen('events.lo*');
      const all = await listen('events.#');
      await publish('events.login', 'events.lo*');
      expect(await all.settle(2)).toEqual(['events.login', 'events.lo*']);
      expect(await part.settle(1)).toEqual(['events.lo*']);
      for (const pattern of [null, [7]])
        await expect(bus.subscribe(pattern as unknown as string, () => undefined)).rejects.toThrow(ConfigurationError);
    }),
  );

  it(
    '0009 a topic of more than 255 bytes is refused',
    on(async ({ bus }) => {
      const publishing = bus.publish('a'.repeat(322), 1);
      await expect(publishing).rejects.toThrow(ConfigurationError);
      await expect(publishing).rejects.toThrow(/has 322 bytes; the limit is 255/);
    }),
  );

  it(
    '0010 a payload that cannot be written is refused',
    on(async ({ bus, listen, publish }) => {
      const seen = await listen('orders.created');
      const cycle: { self?: unknown } = {};
      cycle.self = cycle;
      for (const payload of [cycle, 1n, () => 1]) {
        const publishing = bus.publish('orders.created', payload);
        await expect(publishing).rejects.toThrow(ValidationError);
        await expect(publishing).rejects.toMatchObject({ code: 'UNSERIALIZABLE' });
      }
      await publish('orders.created');
      expect(await seen.settle(1)).toEqual(['orders.created']);
    }),
  );
});
