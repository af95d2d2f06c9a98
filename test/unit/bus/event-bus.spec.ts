import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { EventBus } from '../../../lib/bus/event-bus.js';
import { defineEvent, EVENT_METADATA } from '../../../lib/bus/event-definition.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { aBus } from '../support/buses.js';
import { problemsOf } from '../support/caught.js';
import { deferred, settled } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import type { Sent } from '../support/fake.transport.js';
import { aRegistration } from '../support/handlers.js';

class OrderCreated {
  constructor(readonly id: string) {}
}
Reflect.defineMetadata(EVENT_METADATA, { topic: 'orders.created', version: 2 }, OrderCreated);
const OrderPaid = defineEvent<{ id: string }>('orders.paid', { version: 3 });

/** What was sent, as far as it differs from publish to publish. */
function said(sent: Sent | undefined) {
  const { topic, type, version, key, body } = sent?.message ?? {};
  const exchange = sent?.target.kind === 'exchange' ? sent.target.exchange.name : undefined;
  return { exchange, topic, type, version, key, payload: JSON.parse(Buffer.from(body ?? []).toString()) };
}

describe('EventBus', () => {
  it('demands a service where queues outlive the process: it names them', () => {
    const durable = { capabilities: { durable: true } };
    expect(problemsOf(() => aBus({}, durable))).toEqual([expect.stringMatching(/^service is required with the fake/)]);
    expect(() => aBus({ service: 'shop' }, durable)).not.toThrow();
    expect(() => aBus({})).not.toThrow();
  });

  describe.each([
    ['publish', 'dev.shop.events'],
    ['broadcast', 'dev.shop.events.broadcast'],
  ] as const)('%s', (method, exchange) => {
    const setUp = () => aBus({ namespace: 'dev', exchange: 'shop.events' });

    it.each<[string, (bus: EventBus) => Promise<unknown>, object]>([
      [
        'a topic and a payload',
        (bus) => bus[method]('a.b', 7, { key: 'k' }),
        { topic: 'a.b', type: '', key: 'k', payload: 7 },
      ],
      [
        'an event',
        (bus) => bus[method](new OrderCreated('42'), { key: 'k' }),
        { topic: 'orders.created', type: 'orders.created', version: 2, key: 'k', payload: { id: '42' } },
      ],
      [
        'a class and a payload',
        (bus) => bus[method](OrderCreated, { id: '42' }, { key: 'k' }),
        { topic: 'orders.created', type: 'orders.created', version: 2, key: 'k', payload: { id: '42' } },
      ],
      [
        'a definition and a payload',
        (bus) => bus[method](OrderPaid, { id: '42' }, { key: 'k' }),
        { topic: 'orders.paid', type: 'orders.paid', version: 3, key: 'k', payload: { id: '42' } },
      ],
    ])('takes %s', async (_, act, expected) => {
      const { bus, transport } = setUp();
      await act(bus);
      expect(said(transport.sent[0])).toEqual({ exchange, version: undefined, ...expected });
    });

    it('rejects, and does not throw, for an object that is no event', async () => {
      const { bus, transport } = setUp();
      await expect(bus[method](new Map())).rejects.toMatchObject({
        constructor: ConfigurationError,
        message: expect.stringContaining('Map is not an event'),
      });
      expect(transport.sent).toEqual([]);
    });
  });

  describe('publishAll', () => {
    it('takes topics with payloads and events, and says which failed', async () => {
      const { bus, transport } = aBus();
      const bare = Object.assign(Object.create(null) as object, { topic: 'c', payload: 3 });
      const result = await bus.publishAll([
        { topic: 'a', payload: 1, options: { key: 'k' } },
        new OrderCreated('42'),
        new Date(0),
        bare,
        { topic: 7, payload: 1 },
        Object.assign(new OrderCreated('43'), { topic: 'a field of the payload' }),
      ]);
      expect(result.confirmed).toBe(4);
      expect(result.failed).toMatchObject([
        { index: 2, error: { message: expect.stringContaining('Date is not an event') } },
        { index: 4, error: { message: expect.stringContaining('Object is not an event') } },
      ]);
      expect(transport.sent.map(said)).toMatchObject([
        { topic: 'a', payload: 1, key: 'k', type: '' },
        { topic: 'orders.created', version: 2, payload: { id: '42' } },
        { topic: 'c', payload: 3 },
        { topic: 'orders.created', payload: { id: '43', topic: 'a field of the payload' } },
      ]);
    });

    it('waits for room in the buffer, and keeps to the window', async () => {
      const { bus, transport } = aBus({ publish: { window: 2 } });
      const confirms = [
        deferred<{ routed: boolean }>(),
        deferred<{ routed: boolean }>(),
        deferred<{ routed: boolean }>(),
      ];
      let next = 0;
      transport.publishing = () => confirms[next++]?.promise ?? Promise.reject(new Error('too many'));
      const all = bus.publishAll([new OrderCreated('1'), { topic: 'a', payload: 1 }, { topic: 'b', payload: 1 }]);
      await settled();
      expect(transport.sent).toHaveLength(2);
      for (const confirm of confirms) confirm.resolve({ routed: true });
      expect(await all).toEqual({ confirmed: 3, failed: [] });
      expect(transport.sent.map(({ options }) => options)).toEqual([
        { onFull: 'wait' },
        { onFull: 'wait' },
        { onFull: 'wait' },
      ]);
    });
  });

  it('publishes what its handlers emit', async () => {
    const { bus, transport } = aBus();
    await bus.subscribe('orders.*', (_, context) => context.emit('mail.sent', { to: 1 }, { key: 'k' }));
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    await settled();
    expect(said(transport.sent[0])).toMatchObject({
      exchange: 'events',
      topic: 'mail.sent',
      key: 'k',
      payload: { to: 1 },
    });
  });

  it('hands its options to the way out', async () => {
    const { bus, transport } = aBus({ service: 'shop', publish: { maxMessageBytes: 3, unroutable: 'reject' } });
    await expect(bus.publish('a', 'xx')).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    transport.publishing = async () => ({ routed: false });
    await expect(bus.publish('a', 1)).rejects.toMatchObject({ code: 'UNROUTABLE' });
    expect(transport.sent[0]?.message.source).toBe('shop');
  });

  it('and to the way in', async () => {
    const { bus, transport } = aBus({ publish: { maxMessageBytes: 3 } });
    await bus.subscribe('orders.*', () => undefined);
    const delivery = new FakeDelivery({ message: { body: Buffer.from('1234') } });
    transport.consumers[0]?.events.deliver(delivery);
    await settled();
    expect(delivery.outcomes).toMatchObject([{ kind: 'dead', reason: 'undecodable' }]);
  });

  it('runs what it has around publishing and handling', async () => {
    const log: string[] = [];
    const { bus, transport } = aBus(
      {},
      {
        publishMiddleware: [
          async ({ message }, next) => {
            log.push(`publish ${message.topic}`);
            await next();
          },
        ],
        consumeMiddleware: [
          async ({ topic }, next) => {
            log.push(`consume ${topic}`);
            await next();
          },
        ],
        stage: {
          send: async (_, message) => {
            log.push(`store ${message.topic}`);
            return { state: 'stored' };
          },
        },
      },
    );
    expect(await bus.publish('a', 1)).toMatchObject({ state: 'stored' });
    await bus.subscribe('orders.*', () => undefined);
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    await settled();
    expect(log).toEqual(['publish a', 'store a', 'consume orders.created']);
  });

  it('observes', async () => {
    const { bus, transport } = aBus();
    const log: unknown[] = [];
    const observing = bus
      .observe('orders.*', { onReady: () => log.push('ready'), onGap: () => log.push('gap') })
      .subscribe(({ payload }) => log.push(payload));
    await settled();
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    transport.consumers[0]?.events.gap?.();
    await settled();
    expect(log).toEqual(['ready', { n: 1 }, 'gap']);
    observing.unsubscribe();
    await settled();
    expect(transport.consumers[0]?.state).toBe('closed');
    const bare = bus.observe('a').subscribe();
    await settled();
    expect(transport.consumers).toHaveLength(2);
    bare.unsubscribe();
  });

  it('refuses what a transport cannot follow that does not tell whether anybody got an event', async () => {
    const capabilities = { unroutable: false };
    const { bus } = aBus({}, { capabilities });
    for (const unroutable of ['reject', 'store', 'alternate-exchange'] as const) {
      const said = `unroutable: '${unroutable}' is not supported`;
      expect(() => aBus({ publish: { unroutable } }, { capabilities })).toThrow(said);
      await expect(bus.publish('a', 1, { unroutable })).rejects.toThrow(said);
    }
    await expect(bus.publish('a', 1, { unroutable: 'ignore' })).resolves.toMatchObject({ state: 'confirmed' });
  });

  it('counts what was published and handled', async () => {
    const { bus, transport } = aBus();
    await bus.publish('a', 1);
    await bus.prepare([aRegistration()]);
    expect(bus.stats()).toMatchObject({
      published: 1,
      confirmed: 1,
      failed: 0,
      unroutable: 0,
      groups: { mail: { handled: 0 } },
    });
    expect(bus.stats()).not.toBe(bus.stats());
    expect(transport.sent).toHaveLength(1);
  });

  it('describes itself for operators, and is printed as that', async () => {
    const { bus, transport } = aBus({
      service: 'shop',
      namespace: 'dev',
      consume: { groups: { audit: { enabled: false } } },
    });
    await bus.prepare([
      aRegistration({ rules: [{ pattern: 'a' }, { pattern: 'b' }], policy: { retry: { delaysMs: [7] } } }),
      aRegistration({ group: 'audit', delivery: 'broadcast', pattern: '#', place: 'Audit.all' }),
    ]);
    await bus.start();
    const policy = { concurrency: 10, prefetch: 20, timeoutMs: 60_000 };
    const described = {
      name: 'default',
      service: 'shop',
      namespace: 'dev',
      status: 'up',
      exchange: { name: 'dev.events', type: 'topic' },
      contentType: 'application/json',
      transport: { endpoint: 'fake:1' },
      capabilities: transport.capabilities,
      vanishedGroups: [],
      stalePatterns: [],
      exchanges: [],
      groups: [
        {
          name: 'mail',
          delivery: 'shared',
          patterns: ['a', 'b'],
          handlers: ['Mail.onOrder'],
          ...policy,
          enabled: true,
          retry: [7],
          state: 'running',
        },
        {
          name: 'audit',
          delivery: 'broadcast',
          patterns: ['#'],
          handlers: ['Audit.all'],
          ...policy,
          enabled: false,
          retry: expect.any(Array),
          state: 'idle',
        },
      ],
    };
    expect(bus.describe()).toEqual(described);
    expect(bus.name).toBe('default');
    expect(JSON.parse(JSON.stringify({ bus }))).toEqual({ bus: JSON.parse(JSON.stringify(bus.describe())) });
    expect(inspect(bus)).toBe(inspect(bus.describe()));
  });
});
