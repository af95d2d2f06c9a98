import { describe, expect, it, jest } from '@jest/globals';
import { defineEvent } from '../../../lib/bus/event-definition.js';
import type { SubscribeOptions } from '../../../lib/bus/subscriber.js';
import { BusClosedError, ConfigurationError, ConnectionError } from '../../../lib/core/errors.js';
import type { StandardSchema } from '../../../lib/core/schema.js';
import type { Transport } from '../../../lib/core/transport.js';
import { HeadersExchange } from '../../../lib/exchanges/headers.exchange.js';
import { aBus } from '../support/buses.js';
import { deferred, settled } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aRegistration } from '../support/handlers.js';

const ignore = (): void => undefined;

describe('subscribe', () => {
  it('without a group: a private queue of events and broadcasts', async () => {
    const { bus, transport } = aBus({ service: 'shop' });
    const handler = jest.fn();
    const subscription = await bus.subscribe('orders.*', handler);
    expect(transport.consumers.map(({ source }) => source)).toEqual([
      {
        owner: 'shop',
        deadLetterGroup: 'shop.broadcast',
        bindings: [
          { pattern: 'orders.*', exchange: expect.objectContaining({ name: 'events' }) },
          { pattern: 'orders.*', exchange: expect.objectContaining({ name: 'events.broadcast' }) },
        ],
        prefetch: 20,
      },
    ]);
    expect(subscription).toMatchObject({ pattern: 'orders.*', group: undefined, state: 'active' });
    expect(Object.keys(bus.stats().groups)).toEqual([`shop.subscription.${subscription.id}`]);
    const delivery = new FakeDelivery();
    transport.consumers[0]?.events.deliver(delivery);
    await settled();
    expect(handler.mock.calls).toEqual([[{ n: 1 }, expect.objectContaining({ message: delivery.message })]]);
  });

  it('with a group: its durable queue, and a private one for broadcasts', async () => {
    const { bus, transport } = aBus();
    const subscription = await bus.subscribe(['a', 'b'], ignore, { group: 'mail' });
    expect(
      transport.consumers.map(({ source }) => [
        source.group,
        source.bindings.map(({ exchange, pattern }) => `${exchange.name} ${pattern}`),
      ]),
    ).toEqual([
      ['mail', ['events a', 'events b']],
      [undefined, ['events.broadcast a', 'events.broadcast b']],
    ]);
    expect(subscription).toMatchObject({ pattern: ['a', 'b'], group: 'mail' });
    expect(bus.describe().groups).toMatchObject([{ handlers: ['subscribe(a, b)'] }]);
    await subscription.pause();
    expect(transport.consumers.map(({ state }) => state)).toEqual(['paused', 'paused']);
  });

  it('of a bus without service is named after the app', async () => {
    const { bus } = aBus();
    const { id } = await bus.subscribe('a', ignore);
    expect(bus.describe().groups).toMatchObject([{ name: `app.subscription.${id}`, handlers: ['subscribe(a)'] }]);
  });

  it('hands on policy and header rules', async () => {
    const { bus, transport } = aBus({}, { exchange: new HeadersExchange() });
    await bus.subscribe('a', ignore, {
      headers: { region: 'eu' },
      match: 'any',
      prefetch: 3,
      concurrency: 2,
      timeoutMs: 9,
    });
    expect(transport.consumers[0]?.source).toMatchObject({
      prefetch: 3,
      bindings: [
        { pattern: 'a', headers: { region: 'eu' }, match: 'any' },
        { pattern: 'a', headers: { region: 'eu' }, match: 'any' },
      ],
    });
    expect(bus.describe().groups).toMatchObject([{ concurrency: 2, prefetch: 3, timeoutMs: 9 }]);
  });

  it('to a definition understands that event only, as its schema makes it', async () => {
    const { bus, transport } = aBus();
    const schema: StandardSchema<{ n: number }> = {
      '~standard': { version: 1, vendor: 'test', validate: () => ({ value: { n: 2 } }) },
    };
    const handler = jest.fn();
    const subscription = await bus.subscribe(defineEvent('orders.created', { version: 2, schema }), handler);
    expect(subscription.pattern).toEqual(['orders.created']);
    for (const version of [1, 2]) {
      transport.consumers[0]?.events.deliver(new FakeDelivery({ message: { type: 'orders.created', version } }));
    }
    await settled();
    expect(handler.mock.calls).toEqual([[{ n: 2 }, expect.anything()]]);
  });

  it('tells of a gap', async () => {
    const { bus, transport } = aBus();
    const onGap = jest.fn();
    await bus.subscribe('a', ignore, { onGap });
    transport.consumers[0]?.events.gap?.();
    expect(onGap).toHaveBeenCalledTimes(1);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new RangeError('my own');
      },
    ],
    ['rejects', () => Promise.reject(new RangeError('my own'))],
  ])('survives an onGap that %s, and says so', async (_, onGap) => {
    const { bus, transport, logger } = aBus();
    const handler = jest.fn();
    await bus.subscribe('orders.*', handler, { onGap });
    expect(() => transport.consumers[0]?.events.gap?.()).not.toThrow();
    await settled();
    expect(logger.lines).toEqual(['error: onGap failed: RangeError: my own']);
    transport.consumers[0]?.events.deliver(new FakeDelivery());
    await settled();
    expect(handler).toHaveBeenCalledTimes(1);
  });

  describe('refuses', () => {
    it.each<[string, string | string[], object, string]>([
      ['an unknown option', 'a', { gruop: 'x' }, 'subscribe options.gruop'],
      ['a bad group name', 'a', { group: 'a b' }, 'group'],
      ['an empty group name', 'a', { group: '' }, 'group'],
      ['a listener that is none', 'a', { onGap: 'x' }, 'onGap'],
      ['a bad number', 'a', { concurrency: 0 }, 'concurrency'],
      ['a bad retry policy', 'a', { retry: 7 }, 'retry'],
      ['no pattern', [], {}, 'pattern'],
      ['an empty pattern', ['a', ''], {}, 'pattern[1]'],
      ['a pattern that the exchange refuses', 'x'.repeat(300), {}, 'subscribe('],
    ])('%s', async (_, pattern, options, text) => {
      const { bus, transport } = aBus();
      await expect(bus.subscribe(pattern, ignore, options as SubscribeOptions)).rejects.toMatchObject({
        constructor: ConfigurationError,
        problems: [expect.stringContaining(text)],
      });
      expect(transport.consumers).toEqual([]);
      expect(bus.stats().groups).toEqual({});
    });

    it('other patterns for a group that this process has already, and names both places', async () => {
      const { bus } = aBus();
      await bus.prepare([aRegistration({ place: 'Mail.onOrder', pattern: 'orders.*' })]);
      await expect(bus.subscribe('orders.#', ignore, { group: 'mail' })).rejects.toMatchObject({
        problems: [expect.stringMatching(/"mail".*Mail\.onOrder.*subscribe\(orders\.#\)/)],
      });
      await expect(bus.subscribe('orders.*', ignore, { group: 'mail' })).resolves.toBeDefined();
      await expect(bus.subscribe('orders.#', ignore, { group: 'audit' })).resolves.toBeDefined();
    });

    it('anything on a bus that closes', async () => {
      const { bus, transport } = aBus();
      await bus.drain();
      await expect(bus.subscribe('a', ignore)).rejects.toMatchObject({
        constructor: BusClosedError,
        message: expect.stringContaining('subscribe'),
      });
      expect(transport.consumers).toEqual([]);
    });
  });

  it('rejects with the error of the transport, and leaves nothing behind', async () => {
    const { bus, transport } = aBus();
    const error = new ConnectionError('no rights');
    transport.consuming = Promise.reject(error);
    await expect(bus.subscribe('a', ignore)).rejects.toBe(error);
    await settled();
    expect(bus.stats().groups).toEqual({});
  });

  describe('when the broker does not answer', () => {
    withFakeTimers();

    it('gives up by startup.timeoutMs, and stops the consumer that starts after all', async () => {
      const { bus, transport, logger } = aBus({ startup: { timeoutMs: 400 }, shutdown: { deadlineMs: 70 } });
      const begun = deferred();
      transport.consuming = begun.promise;
      let outcome: unknown = 'pending';
      bus.subscribe('a', ignore).catch((error: unknown) => {
        outcome = error;
      });
      await jest.advanceTimersByTimeAsync(399);
      expect(outcome).toBe('pending');
      await jest.advanceTimersByTimeAsync(1);
      expect(outcome).toMatchObject({ constructor: ConnectionError, message: expect.stringContaining('400 ms') });
      begun.resolve();
      await jest.advanceTimersByTimeAsync(0);
      expect(transport.consumers[0]?.deadlines).toEqual([70]);
      expect(bus.stats().groups).toEqual({});
      expect(logger.lines).toEqual([]);
    });

    it.each<[string, SubscribeOptions]>([
      ['private', {}],
      ['shared', { group: 'mail' }],
    ])('tells the transport to give the %s consumer up, and not before', async (_, options) => {
      const { bus, transport } = aBus({ startup: { timeoutMs: 400 } });
      transport.consuming = deferred().promise;
      const consume = jest.spyOn(transport, 'consume') as unknown as jest.Mock<Transport['consume']>;
      bus.subscribe('a', ignore, options).catch(() => undefined);
      await jest.advanceTimersByTimeAsync(399);
      const signals = consume.mock.calls.map(([, , signal]) => signal);
      expect(signals.map((signal) => signal?.aborted)).toEqual([false]);
      await jest.advanceTimersByTimeAsync(1);
      expect(signals.map((signal) => signal?.aborted)).toEqual([true]);
    });

    it('leaves one that it has got alone', async () => {
      const { bus, transport } = aBus({ startup: { timeoutMs: 400 } });
      const consume = jest.spyOn(transport, 'consume') as unknown as jest.Mock<Transport['consume']>;
      await bus.subscribe('a', ignore, { group: 'mail' });
      await jest.advanceTimersByTimeAsync(1_000);
      const signals = consume.mock.calls.map(([, , signal]) => signal);
      expect(signals.map((signal) => signal?.aborted)).toEqual([false, false]);
      expect(transport.consumers.map(({ state }) => state)).toEqual(['running', 'running']);
    });

    it('says so when it cannot be stopped', async () => {
      const { bus, transport, logger } = aBus({ startup: { timeoutMs: 400 } });
      const begun = deferred();
      transport.consuming = begun.promise;
      bus.subscribe('a', ignore).catch(() => undefined);
      await jest.advanceTimersByTimeAsync(400);
      begun.resolve();
      await Promise.resolve();
      const [consumer] = transport.consumers;
      if (consumer) consumer.closing = Promise.reject(new RangeError('stuck'));
      await jest.advanceTimersByTimeAsync(0);
      expect(logger.lines).toEqual(['warn: A late subscription could not be undone: RangeError: stuck']);
    });
  });

  describe('cancel', () => {
    it('stops all consumers by the deadline of the bus and forgets the group, once', async () => {
      const { bus, transport } = aBus({ shutdown: { deadlineMs: 70 } });
      const subscription = await bus.subscribe('a', ignore, { group: 'mail' });
      await Promise.all([subscription.cancel(), subscription.cancel()]);
      expect(transport.consumers.map(({ deadlines }) => deadlines)).toEqual([[70], [70]]);
      expect(bus.stats().groups).toEqual({});
      expect(subscription.state).toBe('cancelled');
    });
  });
});
