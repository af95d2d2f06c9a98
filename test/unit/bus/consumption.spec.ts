import { describe, expect, it, jest } from '@jest/globals';
import { BusExchanges } from '../../../lib/bus/bus-exchanges.js';
import { type ActiveGroup, Consumption, type ConsumptionOptions } from '../../../lib/bus/consumption.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { GroupCounters } from '../../../lib/bus/event-bus.stats.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import { defineGroups, type HandlerRegistration } from '../../../lib/bus/group-definition.js';
import { MemoryInboxStore } from '../../../lib/bus/memory-inbox.store.js';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { BusClosedError } from '../../../lib/core/errors.js';
import type { ExchangeHandler } from '../../../lib/core/exchange.js';
import type { InboxStore } from '../../../lib/core/inbox.js';
import type { TransportCapabilities } from '../../../lib/core/transport.js';
import { DirectExchange } from '../../../lib/exchanges/direct.exchange.js';
import { HeadersExchange } from '../../../lib/exchanges/headers.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { until } from '../../../lib/testing/contract/until.js';
import { fakeParts } from '../support/buses.js';
import { deferred, settled } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { aRegistration } from '../support/handlers.js';

const TOPIC = new TopicExchange();

interface SetUp {
  readonly options?: EventBusOptions;
  readonly handler?: ExchangeHandler;
  readonly capabilities?: Partial<TransportCapabilities>;
  readonly parts?: Partial<ConsumptionOptions>;
}

function setUp({ options, handler = TOPIC, capabilities, parts }: SetUp = {}) {
  const fake = fakeParts(options, capabilities);
  const exchanges = new BusExchanges(resolveOptions(), handler);
  const consumption = new Consumption({
    options: fake.options,
    transport: fake.transport,
    exchanges,
    decoder: new MessageDecoder([fake.serializer], 1_000),
    scope: fake.scope,
    logger: fake.logger,
    emit: async () => undefined,
    registry: new EventRegistry(),
    ...parts,
  });
  const add = (fields: Parameters<typeof aRegistration>[0] = {}, onGap?: () => void) => {
    const registration: HandlerRegistration = aRegistration(fields);
    const [definition] = defineGroups([registration], fake.options, exchanges, fake.transport.capabilities);
    if (!definition) throw new Error('No group was defined.');
    return consumption.add(definition, onGap);
  };
  const startHub = (groups: readonly ActiveGroup[]) =>
    Promise.all(consumption.hubStarts(groups).map((start) => start()));
  return { ...fake, consumption, add, startHub };
}

describe('Consumption', () => {
  describe('the source', () => {
    it('of a shared group is its durable queue', () => {
      const handler = new HeadersExchange();
      const { add } = setUp({
        options: { service: 'shop', namespace: 'dev', consume: { concurrency: 4 } },
        capabilities: { ordered: 'per-key', replay: true },
        handler,
      });
      const rules = [{ pattern: 'a' }, { pattern: 'b', headers: { x: 1 } }];
      const group = add({ rules, ordered: 'key', startFrom: 'earliest', declare: 'check' });
      expect(group.source).toStrictEqual({
        owner: 'dev.shop',
        deadLetterGroup: 'dev.shop.broadcast',
        group: 'dev.mail',
        bindings: rules.map((rule) => ({ ...rule, exchange: { name: 'events', handler } })),
        prefetch: 8,
        ordered: 'key',
        startFrom: 'earliest',
        declare: 'check',
      });
    });

    it('of a group without rules is a queue to which no exchange leads, that of broadcasts included', async () => {
      const { add, startHub, transport } = setUp({ options: { service: 'shop' } });
      const group = add({ group: 'events.command.orders.place', rules: [] });
      expect(group.source).toMatchObject({ group: 'events.command.orders.place', bindings: [] });
      await startHub([group]);
      expect(transport.consumers).toEqual([]);
    });

    it('of a private one is bound to events and broadcasts, and has no name', () => {
      const { add } = setUp();
      const { source } = add({ delivery: 'broadcast' });
      expect(source).toStrictEqual({
        owner: 'app',
        deadLetterGroup: 'app.broadcast',
        bindings: ['events', 'events.broadcast'].map((name) => ({
          pattern: 'orders.*',
          exchange: { name, handler: TOPIC },
        })),
        prefetch: 20,
      });
    });

    it.each([
      [7, 7],
      [70_000, 65_535],
    ])(
      'of the broadcasts holds as many as may run, %d, as far as a broker can count: %d',
      async (maxConcurrency, prefetch) => {
        const { startHub, add, transport } = setUp({ options: { consume: { maxConcurrency } } });
        await startHub([add(), add({ group: 'audit', pattern: '#' })]);
        expect(transport.consumers[0]?.source).toStrictEqual({
          owner: 'app',
          deadLetterGroup: 'app.broadcast',
          bindings: ['orders.*', '#'].map((pattern) => ({
            pattern,
            exchange: { name: 'events.broadcast', handler: TOPIC },
          })),
          prefetch,
        });
      },
    );
  });

  describe('a delivery', () => {
    it('of a shared group is handled, and retried by the transport', async () => {
      const { consumption, add, transport } = setUp();
      await consumption.start(
        add({
          invoke: () => {
            throw new Error('no');
          },
        }),
      );
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await settled();
      expect(delivery.outcomes).toMatchObject([{ kind: 'retry', delayMs: 1_000, attempt: 2 }]);
    });

    it('of a private one is retried here', async () => {
      const { consumption, add, transport } = setUp();
      const attempts: number[] = [];
      const invoke: HandlerRegistration['invoke'] = (_, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('no');
      };
      await consumption.start(add({ delivery: 'broadcast', invoke, policy: { retry: { delaysMs: [1] } } }));
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await until('it is settled', () => delivery.outcomes.length > 0, 1_000);
      expect(attempts).toEqual([1, 2]);
      expect(delivery.outcomes).toEqual([{ kind: 'ack' }]);
    });

    it.each([
      ['shared', 'retry'],
      ['broadcast', 'ack'],
    ] as const)('that nobody understands, of a group that is %s: %s', async (mode, kind) => {
      const { consumption, add, transport } = setUp();
      await consumption.start(add({ delivery: mode, event: { type: 'orders.created', version: 2 } }));
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await settled();
      expect(delivery.outcomes).toMatchObject([{ kind }]);
    });

    it.each([
      ['shared', 'levels', 5_000],
      ['shared', 'exact', 6_000],
    ] as const)(
      'that is not due, of a group that is %s, waits as the transport can: %s',
      async (mode, delay, delayMs) => {
        const { consumption, add, transport } = setUp({ capabilities: { delay } });
        await consumption.start(add({ delivery: mode }));
        const now = jest.spyOn(Date, 'now').mockReturnValue(1_000_000);
        const delivery = new FakeDelivery({ message: { dueAt: 1_006_000 } });
        transport.consumers[0]?.events.deliver(delivery);
        await settled();
        now.mockRestore();
        expect(delivery.outcomes).toMatchObject([{ kind: 'retry', delayMs }]);
      },
    );

    it('of a private one that is not due waits exactly, whatever the transport can', async () => {
      const { consumption, add, transport } = setUp({ capabilities: { delay: 'levels' } });
      const handled = jest.fn();
      await consumption.start(add({ delivery: 'broadcast', invoke: handled }));
      const delivery = new FakeDelivery({ message: { dueAt: Date.now() + 30 } });
      transport.consumers[0]?.events.deliver(delivery);
      await until('it is settled', () => delivery.outcomes.length > 0, 700); // 1 s in levels
      expect(handled).toHaveBeenCalledTimes(1);
    });

    it('takes one of the places that all groups share', async () => {
      const { consumption, add, transport } = setUp({ options: { consume: { maxConcurrency: 1 } } });
      const end = deferred();
      const log: string[] = [];
      await consumption.start(add({ invoke: () => end.promise }));
      await consumption.start(add({ group: 'audit', invoke: () => void log.push('audit') }));
      for (const { events } of transport.consumers) events.deliver(new FakeDelivery());
      await settled();
      expect(log).toEqual([]);
      expect(consumption.stats()).toMatchObject({ mail: { running: 1 }, audit: { waiting: 1 } });
      end.resolve();
      await settled();
      expect(log).toEqual(['audit']);
    });

    it('runs as many at a time as its group may, each within its time', async () => {
      const { consumption, add, transport } = setUp();
      const signals: AbortSignal[] = [];
      const invoke: HandlerRegistration['invoke'] = (_, { signal }) => {
        signals.push(signal);
        return new Promise((resolve) => signal.addEventListener('abort', resolve));
      };
      const group = add({ invoke, policy: { concurrency: 2, timeoutMs: 20, retry: false } });
      await consumption.start(group);
      const deliveries = [new FakeDelivery(), new FakeDelivery(), new FakeDelivery()];
      for (const delivery of deliveries) transport.consumers[0]?.events.deliver(delivery);
      await settled();
      expect(signals).toHaveLength(2);
      await until('all are settled', () => deliveries.every(({ outcomes }) => outcomes.length > 0), 1_000);
      expect(deliveries[2]?.outcomes).toMatchObject([{ kind: 'dead', failure: { name: 'HandlerTimeoutError' } }]);
      group.stop();
      await group.close(0);
    });
  });

  it('reads the content type of its serializer whatever parameters it has', async () => {
    const { consumption, add, transport } = setUp();
    await consumption.start(add());
    const delivery = new FakeDelivery({ message: { contentType: 'application/json; charset=utf-8' } });
    transport.consumers[0]?.events.deliver(delivery);
    await settled();
    expect(delivery.outcomes).toEqual([{ kind: 'ack' }]);
  });

  describe('broadcasts', () => {
    it('reach the shared groups that want them', async () => {
      const { startHub, add, transport } = setUp();
      const log: string[] = [];
      const groups = [
        add({ invoke: () => void log.push('mail') }),
        add({ group: 'audit', pattern: 'audit.#', invoke: () => void log.push('audit') }),
      ];
      await startHub(groups);
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await settled();
      expect(log).toEqual(['mail']);
      expect(delivery.outcomes).toEqual([{ kind: 'ack' }]);
    });

    it('reach a group whose routing rule throws: the dispatcher decides about the error', async () => {
      const handler = new TopicExchange();
      const { startHub, add, transport } = setUp({ handler });
      const group = add({ policy: { retry: false } });
      jest.spyOn(handler, 'matches').mockImplementation(() => {
        throw new RangeError('own rule');
      });
      await startHub([group]);
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await settled();
      expect(delivery.outcomes).toMatchObject([{ kind: 'dead', failure: { message: 'own rule' } }]);
    });

    it('have no queue without groups', async () => {
      const { startHub, transport } = setUp();
      await startHub([]);
      expect(transport.consumers).toEqual([]);
    });

    it('to one group have a queue of its own', async () => {
      const { consumption, add, transport } = setUp();
      const handled = jest.fn();
      const onGap = jest.fn();
      const group = add({ invoke: handled }, onGap);
      await consumption.startBroadcasts(group);
      expect(transport.consumers[0]?.source.bindings.map(({ exchange }) => exchange.name)).toEqual([
        'events.broadcast',
      ]);
      transport.consumers[0]?.events.deliver(new FakeDelivery());
      transport.consumers[0]?.events.gap?.();
      await settled();
      expect(handled).toHaveBeenCalledTimes(1);
      expect(onGap).toHaveBeenCalledTimes(1);
      expect(group.consumers).toHaveLength(1);
    });
  });

  it('knows the state of a group by its consumer', async () => {
    const { consumption, add, transport } = setUp();
    const group = add();
    expect(group.state).toBe('idle');
    const begun = deferred();
    transport.consuming = begun.promise;
    const start = consumption.start(group);
    expect(group.state).toBe('recovering');
    begun.resolve();
    await start;
    expect(group.state).toBe('running');
    await group.consumers[0]?.pause();
    expect(group.state).toBe('paused');
  });

  it('counts each group under the name that the user knows', async () => {
    const { consumption, add, transport } = setUp({ options: { namespace: 'dev' } });
    await consumption.start(add());
    add({ group: 'audit' });
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    await settled();
    const none = { ...new GroupCounters().read(), running: 0, waiting: 0 };
    expect(consumption.stats()).toEqual({ mail: { ...none, handled: 1 }, audit: none });
  });

  describe('the end', () => {
    it('of a group: its consumers first, so that nothing comes straight back, then what waits', async () => {
      const { consumption, add, transport } = setUp();
      const end = deferred();
      const group = add({ invoke: () => end.promise, policy: { concurrency: 1 } });
      await consumption.start(group);
      const [consumer] = transport.consumers;
      const [running, waiting] = [new FakeDelivery(), new FakeDelivery()];
      for (const delivery of [running, waiting]) consumer?.events.deliver(delivery);
      const closing = deferred();
      if (consumer) consumer.closing = closing.promise;
      let isDone = false;
      const removed = consumption.remove(group, 70).then(() => {
        isDone = true;
      });
      expect(consumer?.deadlines).toEqual([70]);
      expect(waiting.outcomes).toEqual([{ kind: 'release' }]);
      expect(running.outcomes).toEqual([]);
      expect(consumption.groups.size).toBe(0);
      await settled();
      expect(isDone).toBe(false);
      end.resolve();
      closing.resolve();
      await removed;
      expect(running.outcomes).toEqual([{ kind: 'ack' }]);
    });

    it('of all: groups and broadcasts, and what is retried here is given up', async () => {
      const { startHub, consumption, add, transport } = setUp();
      const invoke = (): never => {
        throw new Error('no');
      };
      const group = add({ invoke });
      await consumption.start(group);
      await startHub([group]);
      const delivery = new FakeDelivery();
      transport.consumers[1]?.events.deliver(delivery);
      await settled();
      expect(delivery.outcomes).toEqual([]);
      await consumption.close(50);
      expect(delivery.outcomes).toEqual([{ kind: 'release' }]);
      expect(transport.consumers.map(({ deadlines }) => deadlines)).toEqual([[50], [50]]);
    });

    it('waits for the queue of the broadcasts too', async () => {
      const { startHub, consumption, add, transport } = setUp();
      await startHub([add()]);
      const closing = deferred();
      const [hub] = transport.consumers;
      if (hub) hub.closing = closing.promise;
      let isDone = false;
      const closed = consumption.close(50).then(() => {
        isDone = true;
      });
      await settled();
      expect(isDone).toBe(false);
      closing.resolve();
      await closed;
    });

    it('stops a consumer that starts meanwhile: nobody is left who could handle what it brings', async () => {
      const { consumption, add, transport } = setUp();
      const begun = deferred();
      transport.consuming = begun.promise;
      const start = consumption.start(add());
      await consumption.close(50);
      begun.resolve();
      await expect(start).rejects.toMatchObject({
        constructor: BusClosedError,
        message: expect.stringContaining('subscribe'),
      });
      expect(transport.consumers[0]?.deadlines).toEqual([0]);
    });
  });

  describe('a pattern that a direct exchange takes literally', () => {
    it.each(['*', '#', 'orders.*', '*.created', 'a.#.b'])('%s is warned of', (pattern) => {
      const { add, logger } = setUp({ handler: new DirectExchange() });
      add({ pattern });
      expect(logger.lines).toEqual([
        `warn: mail: "${pattern}" is taken literally, because "events" is a direct exchange.`,
      ]);
    });

    it.each(['orders', 'a*', '#a.b', 'a.*b'])('%s has no wildcard', (pattern) => {
      const { add, logger } = setUp({ handler: new DirectExchange() });
      add({ pattern });
      add({ group: 'none', rules: [{}] });
      expect(logger.lines).toEqual([]);
    });

    it('is not where the exchange knows wildcards', () => {
      const { add, logger } = setUp();
      add({ pattern: '#' });
      expect(logger.lines).toEqual([]);
    });
  });

  it('hands on what a bus may have around its handlers', async () => {
    const log: unknown[][] = [];
    const { consumption, add, transport } = setUp({
      parts: {
        emit: async ({ topic, payload }) => void log.push(['emit', topic, payload]),
        middleware: [
          async (context, next) => {
            log.push(['middleware', context.group]);
            await next();
          },
        ],
        inbox: {
          claim: async (...args) => {
            log.push(['claim', ...args]);
            return 'new';
          },
          done: async () => undefined,
          forget: async () => undefined,
        },
      },
    });
    const idempotent = { windowMs: 700_000 };
    await consumption.start(add({ invoke: (_, context) => context.emit('x', 1), idempotent }));
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    await settled();
    expect(log).toEqual([
      ['claim', 'mail', 'm-1', 70_000, expect.any(String)],
      ['middleware', 'mail'],
      ['emit', 'x', 1],
    ]);
  });

  describe('the inbox', () => {
    const idempotent = { windowMs: 700_000 };
    function aStore() {
      const claims: string[] = [];
      const store: InboxStore = {
        claim: async (group, id) => {
          claims.push(`${group} ${id}`);
          return 'new';
        },
        done: async () => undefined,
        forget: async () => undefined,
      };
      return { store, claims };
    }

    it('is only for groups that are idempotent', async () => {
      const { store, claims } = aStore();
      const { consumption, add, transport } = setUp({ parts: { inbox: store } });
      await consumption.start(add());
      transport.consumers[0]?.events.deliver(new FakeDelivery());
      await settled();
      expect(claims).toEqual([]);
    });

    it.each<[string, readonly string[] | undefined, string]>([
      ['the group', undefined, 'dev.mail'],
      ['the oldest name that it had', ['post', 'mailing', 'letters'], 'dev.letters'],
    ])('knows the work by the namespace and %s', async (_, renamedFrom, scope) => {
      const { store, claims } = aStore();
      const { consumption, add, transport } = setUp({ options: { namespace: 'dev' }, parts: { inbox: store } });
      await consumption.start(add({ idempotent, renamedFrom }));
      transport.consumers[0]?.events.deliver(new FakeDelivery());
      await settled();
      expect(claims).toEqual([`${scope} m-1`]);
    });

    it('is in memory by default, one for all groups', async () => {
      const { consumption, add, transport } = setUp();
      const seen: string[] = [];
      const as = (group: string) => ({ group, idempotent, invoke: () => void seen.push(group) });
      await consumption.start(add(as('mail')));
      await consumption.start(add(as('audit')));
      for (const { events } of [...transport.consumers, ...transport.consumers]) events.deliver(new FakeDelivery());
      await settled();
      // the second arrival comes while the first is handled: it is put off, and then known
      for (const { events } of transport.consumers) events.deliver(new FakeDelivery());
      await settled();
      expect(seen).toEqual(['mail', 'audit']);
      expect(consumption.stats()).toMatchObject({ mail: { duplicates: 1 }, audit: { duplicates: 1 } });
    });

    it.each<[string, boolean, InboxStore | undefined, number]>([
      ['of a durable transport is forgotten with the process: one warning', true, undefined, 1],
      ['of a durable transport, chosen by hand, as well', true, new MemoryInboxStore(), 1],
      ['of a transport that is forgotten too needs no warning', false, undefined, 0],
      ['that others share needs no warning', true, aStore().store, 0],
    ])('%s', (_, durable, inbox, warnings) => {
      const options = { consume: { groups: { 'not here': { enabled: false } } } };
      const { add, logger } = setUp({ options, capabilities: { durable }, parts: { inbox } });
      add();
      add({ group: 'not here', idempotent });
      expect(logger.lines).toEqual([]);
      add({ group: 'first', idempotent });
      add({ group: 'second', idempotent });
      expect(logger.lines).toEqual(
        Array(warnings).fill(expect.stringMatching(/^warn: first is idempotent.* memory of this process.*Set inbox/)),
      );
    });
  });

  describe('a group that gets batches', () => {
    it.each(['shared', 'broadcast'] as const)('that is %s calls its handler with many at once', async (mode) => {
      const { consumption, add, transport } = setUp();
      const calls: unknown[][] = [];
      const invoke = (...args: unknown[]): void => void calls.push(args);
      await consumption.start(add({ delivery: mode, batch: { size: 2, waitMs: 1_000 }, invoke }));
      const [consumer] = transport.consumers;
      expect(consumer?.source.prefetch).toBe(4);
      const deliveries = [new FakeDelivery(), new FakeDelivery({ message: { id: 'm-2' } })];
      for (const delivery of deliveries) consumer?.events.deliver(delivery);
      await settled();
      expect(calls).toEqual([
        [
          [{ n: 1 }, { n: 1 }],
          [expect.objectContaining({ group: 'mail' }), expect.objectContaining({ group: 'mail' })],
        ],
      ]);
      expect(deliveries.map(({ outcomes }) => outcomes)).toEqual([[{ kind: 'ack' }], [{ kind: 'ack' }]]);
    });

    it('takes one of the places that all groups share for each batch', async () => {
      const { consumption, add, transport } = setUp({ options: { consume: { maxConcurrency: 1 } } });
      const end = deferred();
      await consumption.start(add({ batch: { size: 2, waitMs: 1_000 }, invoke: () => end.promise }));
      await consumption.start(add({ group: 'audit' }));
      for (const { events } of [...transport.consumers, ...transport.consumers]) events.deliver(new FakeDelivery());
      await settled();
      expect(consumption.stats()).toMatchObject({
        mail: { running: 1, waiting: 0 },
        audit: { handled: 1, waiting: 1 },
      });
      end.resolve();
      await settled();
      expect(consumption.stats()).toMatchObject({ mail: { handled: 2 }, audit: { handled: 2 } });
    });

    it('gives back at its end what waits for its batch', async () => {
      const { consumption, add, transport } = setUp();
      const handled = jest.fn();
      const group = add({ batch: { size: 2, waitMs: 1_000 }, invoke: handled });
      await consumption.start(group);
      const delivery = new FakeDelivery();
      transport.consumers[0]?.events.deliver(delivery);
      await consumption.remove(group, 50);
      expect(delivery.outcomes).toEqual([{ kind: 'release' }]);
      expect(handled).not.toHaveBeenCalled();
    });
  });
});
