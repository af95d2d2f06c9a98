import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { PublishRejectedError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { FakeBroker } from './harness/fake-broker.js';
import { orderListener, outcomeOf, pendingOf, range, withFakeBroker } from './harness/fake-broker.lab.js';

const CODES: readonly (readonly [number, string])[] = [
  [404, "NOT_FOUND - no exchange 'x' in vhost '/'"],
  [406, 'PRECONDITION_FAILED - invalid expiration'],
  [403, 'ACCESS_REFUSED - write access refused'],
];

/** The broker closes the channel whenever it meets a message for `orders.poison`. */
function poison(broker: FakeBroker, code: number, text: string): void {
  broker.on('BasicPublish', ({ channel, message }) => {
    if (message?.routingKey !== 'orders.poison') return false;
    channel.close(code, text);
    return true;
  });
}

const topicsWithPoisonAt = (...at: readonly number[]): readonly string[] =>
  range(60).map((n) => (at.includes(n) ? 'orders.poison' : 'orders.created'));

describe.each(CODES)('a message for which the broker closes the channel with %i', (code, text) => {
  it(
    'rejects alone; what was in flight with it is confirmed, and what follows works',
    withFakeBroker(async ({ lab, broker }) => {
      poison(broker, code, text);
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [orderListener(seen)] });
      const publishes = topicsWithPoisonAt(20).map((topic, n) => outcomeOf(bus.publish(topic, n)));
      const outcomes = await bounded(Promise.all(publishes), 8_000, 'the publishes');
      expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual([20]);
      const { error } = outcomes[20] ?? {};
      expect(error).toBeInstanceOf(PublishRejectedError);
      expect(error).toMatchObject({ code: 'CHANNEL_CLOSED', retryable: false });
      expect(error?.message).toContain(text);
      // once in the crowd, once alone; a missing exchange is declared again before anyone is to blame
      const closes = broker.gave('ChannelClose').filter(({ fields }) => fields.replyCode === code);
      expect(closes.length).toBeGreaterThanOrEqual(2);
      expect(closes.length).toBeLessThanOrEqual(3);
      expect(broker.ids('orders.poison')).toHaveLength(closes.length);
      expect(await bounded(bus.publish('orders.created', 'after'), 1_000, 'the next publish')).toMatchObject({
        routed: true,
      });
      await until('all are handled', () => new Set(seen.items).size === 60);
      expect(seen.items).not.toContain(20);
      expect(pendingOf(bus)).toBe(0);
      await until('it is up', () => bus.status === 'up');
    }),
  );
});

it(
  'several such messages, the first and the last among them: each rejects, all others are confirmed',
  withFakeBroker(async ({ lab, broker }) => {
    poison(broker, 406, 'PRECONDITION_FAILED');
    const poisoned = [0, 1, 30, 59];
    const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
    const publishes = topicsWithPoisonAt(...poisoned).map((topic, n) => outcomeOf(bus.publish(topic, n)));
    const outcomes = await bounded(Promise.all(publishes), 10_000, 'the publishes');
    expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual(poisoned);
    expect(broker.gave('ChannelClose').length).toBeGreaterThanOrEqual(poisoned.length);
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'a channel that the broker closes once, for nothing to do with a message: everything is confirmed in the end',
  withFakeBroker(async ({ lab, broker }) => {
    const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
    let isClosed = false;
    broker.on('BasicPublish', ({ channel }) => {
      if (isClosed || channel.published < 10) return false;
      isClosed = true;
      channel.close(406, 'PRECONDITION_FAILED');
      return true;
    });
    const publishes = range(60).map((n) => outcomeOf(bus.publish('orders.created', n)));
    const outcomes = await bounded(Promise.all(publishes), 5_000, 'the publishes');
    expect(broker.gave('ChannelClose')).toHaveLength(1);
    expect(outcomes.filter(({ error }) => error)).toEqual([]);
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'an exchange deleted while the bus publishes: it is declared again, and nothing rejects',
  withFakeBroker(async ({ lab, broker }) => {
    const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
    let isDeleted = true;
    broker.on('BasicPublish', ({ channel, message }) => {
      if (!isDeleted || message?.exchange !== lab.exchange) return false;
      channel.close(404, `NOT_FOUND - no exchange '${lab.exchange}'`);
      return true;
    });
    const declared = broker.got('ExchangeDeclare').length;
    broker.on('ExchangeDeclare', ({ fields }) => {
      if (fields.exchange === lab.exchange) isDeleted = false;
      return false;
    });
    const outcomes = await bounded(
      Promise.all(range(20).map((n) => outcomeOf(bus.publish('orders.created', n)))),
      5_000,
      'the publishes',
    );
    expect(broker.gave('ChannelClose')).toHaveLength(1);
    expect(broker.got('ExchangeDeclare').length).toBeGreaterThan(declared);
    expect(outcomes.filter(({ error }) => error)).toEqual([]);
  }),
);
