import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { LIMITS } from '../../lib/core/limits.js';
import { MessageTooLargeError, PublishRejectedError } from '../../lib/index.js';
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
      // in the crowd, in halves of it, and alone at last
      const closes = broker.gave('ChannelClose').filter(({ fields }) => fields.replyCode === code);
      expect(closes.length).toBeGreaterThanOrEqual(2);
      expect(closes.length).toBeLessThanOrEqual(8);
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
  'one such message among 1,000 of a broker that confirms late: found in a few channels, and soon',
  withFakeBroker(async ({ lab, broker }) => {
    const [total, poisoned, latencyMs] = [1_000, 500, 15];
    broker.on('BasicPublish', (call) => {
      const { channel } = call;
      const tag = channel.published;
      broker.keep(call);
      setTimeout(() => {
        if (!channel.isClosing) channel.confirm(tag);
      }, latencyMs);
      return true;
    });
    poison(broker, 406, 'PRECONDITION_FAILED');
    const seen = new Log<unknown>('events');
    const { bus } = await lab.boot({ options: { publish: { window: total } }, providers: [orderListener(seen)] });
    const publishes = range(total).map((n) =>
      outcomeOf(bus.publish(n === poisoned ? 'orders.poison' : 'orders.created', n)),
    );
    const outcomes = await bounded(Promise.all(publishes), 5_000, 'the publishes');
    expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual([poisoned]);
    expect(outcomes[poisoned]?.error).toMatchObject({ code: 'CHANNEL_CLOSED', retryable: false });
    expect(broker.gave('ChannelClose').length).toBeLessThanOrEqual(Math.ceil(Math.log2(total)) + 3);
    expect(broker.ids('orders.poison')).toHaveLength(broker.gave('ChannelClose').length);
    await until('all are handled', () => new Set(seen.items).size === total - 1);
    expect(seen.items).not.toContain(poisoned);
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'one that is alone on its channel after another was given up there is not to blame: it is sent again, and confirmed',
  withFakeBroker(async ({ lab, broker }) => {
    const seen = new Log<unknown>('events');
    const { bus } = await lab.boot({ providers: [orderListener(seen)] });
    broker.on('BasicPublish', ({ message }) => message?.routingKey === 'orders.poison');
    let isClosed = false;
    broker.on('BasicPublish', ({ channel, message }) => {
      if (isClosed || message?.routingKey !== 'orders.created') return false;
      isClosed = true;
      channel.close(406, 'PRECONDITION_FAILED');
      return true;
    });
    await expect(bus.publish('orders.poison', 1, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'PUBLISH_TIMEOUT',
      sent: true,
    });
    const publish = bus.publish('orders.created', 2, { id: 'the-id' });
    expect(await bounded(publish, 2_000, 'the publish')).toMatchObject({ state: 'confirmed', routed: true });
    expect(broker.gave('ChannelClose')).toHaveLength(1);
    expect(broker.ids('orders.created')).toEqual(['the-id', 'the-id']);
    expect(broker.ids('orders.poison')).toHaveLength(1);
    expect(await seen.settle(1)).toEqual([2]);
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'a channel that the broker closes once, for nothing to do with a message: all is confirmed, in order, with the same ids',
  withFakeBroker(async ({ lab, broker }) => {
    const [total, confirmed] = [60, 9];
    const seen = new Log<unknown>('events');
    const { bus } = await lab.boot({ providers: [orderListener(seen, { concurrency: 1 })] });
    let isClosed = false;
    broker.on('BasicPublish', ({ channel }) => {
      if (isClosed || channel.published <= confirmed) return false;
      isClosed = true;
      channel.close(406, 'PRECONDITION_FAILED');
      return true;
    });
    const publishes = range(total).map((n) => outcomeOf(bus.publish('orders.created', n)));
    const outcomes = await bounded(Promise.all(publishes), 5_000, 'the publishes');
    expect(broker.gave('ChannelClose')).toHaveLength(1);
    expect(outcomes.filter(({ error }) => error)).toEqual([]);
    expect(pendingOf(bus)).toBe(0);
    const sent = outcomes.map(({ value }) => value?.id);
    expect(new Set(sent).size).toBe(total);
    // what was confirmed before is not sent again
    expect(broker.ids('orders.created')).toEqual([...sent, ...sent.slice(confirmed)]);
    expect(await seen.settle(total)).toEqual(range(total));
  }),
);

it(
  'such a message beside one that is never confirmed: those beside them do not wait for that one',
  withFakeBroker(async ({ lab, broker }) => {
    poison(broker, 403, 'ACCESS_REFUSED');
    // as of a queue without a majority
    broker.on('BasicPublish', ({ message }) => message?.routingKey === 'orders.lost');
    const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
    const lost = outcomeOf(bus.publish('orders.lost', 0, { timeoutMs: 5_000 }));
    const publishes = topicsWithPoisonAt(20).map((topic, n) => outcomeOf(bus.publish(topic, n)));
    const outcomes = await bounded(Promise.all(publishes), 8_000, 'the publishes');
    expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual([20]);
    expect(outcomes[20]?.error).toMatchObject({ code: 'CHANNEL_CLOSED' });
    expect(Math.max(...outcomes.map(({ ms }) => ms))).toBeLessThan(2_500);
    expect(broker.gave('ChannelClose').length).toBeGreaterThanOrEqual(2);
    expect((await lost).error).toMatchObject({ code: 'PUBLISH_TIMEOUT', sent: true });
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'such a message, and then a broker that does not say whether the channel stands: another channel, and all goes on',
  withFakeBroker(async ({ lab, broker }) => {
    poison(broker, 406, 'PRECONDITION_FAILED');
    const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
    let silent = 0;
    broker.on('BasicQos', ({ link }) => link === broker.linkTo('publish') && ++silent === 1);
    const publishes = topicsWithPoisonAt(20).map((topic, n) => outcomeOf(bus.publish(topic, n, { timeoutMs: 25_000 })));
    const outcomes = await bounded(Promise.all(publishes), 20_000, 'the publishes');
    expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual([20]);
    expect(silent).toBeGreaterThan(1);
    expect(pendingOf(bus)).toBe(0);
  }),
);

it(
  'a message whose headers are too large: rejects alone, and nothing of it is sent',
  withFakeBroker(async ({ lab, broker }) => {
    const [total, large] = [60, 20];
    const seen = new Log<unknown>('events');
    const { bus } = await lab.boot({ providers: [orderListener(seen, { concurrency: 1 })] });
    // the one after it is just small enough
    const sizes = new Map([
      [large, LIMITS.headerBytes + 1],
      [large + 1, LIMITS.headerBytes],
    ]);
    const headersOf = (n: number): Readonly<Record<string, string>> => {
      const bytes = sizes.get(n);
      return bytes === undefined ? {} : { h: 'x'.repeat(bytes - 'h'.length) };
    };
    const publishes = range(total).map((n) =>
      outcomeOf(bus.publish('orders.created', n, { id: `the-${n}`, headers: headersOf(n) })),
    );
    const outcomes = await bounded(Promise.all(publishes), 5_000, 'the publishes');
    expect(outcomes.flatMap(({ error }, n) => (error ? [n] : []))).toEqual([large]);
    expect(outcomes[large]?.error).toBeInstanceOf(MessageTooLargeError);
    const others = range(total).filter((n) => n !== large);
    for (const n of others) expect(outcomes[n]?.value).toMatchObject({ state: 'confirmed', routed: true });
    expect(broker.got('BasicPublish')).toHaveLength(others.length);
    expect(broker.ids('orders.created')).toEqual(others.map((n) => `the-${n}`));
    expect(await seen.settle(others.length)).toEqual(others);
    expect(broker.gave('ChannelClose')).toEqual([]);
    expect(pendingOf(bus)).toBe(0);
    expect(bus.status).toBe('up');
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
