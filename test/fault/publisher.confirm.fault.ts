import 'reflect-metadata';
import { setInterval as ticks } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { BusClosedError, PublishRejectedError, PublishTimeoutError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { Call } from './harness/fake-broker.js';
import {
  type FakeLab,
  groupOf,
  orderListener,
  outcomeOf,
  pendingOf,
  range,
  withFakeBroker,
} from './harness/fake-broker.lab.js';
import type { FakeLink } from './harness/fake-broker.link.js';

const TIMEOUT_MS = 500;
/** Until when at the latest a publish is settled after its timeout. */
const SLACK_MS = 1_000;

const topicOf = ({ message }: Call): string | undefined => message?.routingKey;

/** Takes messages for a topic and keeps them, but does not confirm them. */
function confirmLater({ broker }: FakeLab, topic: string): (() => void)[] {
  const confirms: (() => void)[] = [];
  broker.on('BasicPublish', (call) => {
    if (topicOf(call) !== topic) return false;
    const { channel } = call;
    const tag = channel.published;
    broker.keep(call);
    confirms.push(() => channel.confirm(tag));
    return true;
  });
  return confirms;
}

describe('a broker that does not confirm', () => {
  it(
    'the publish rejects in time, as sent and of unknown outcome; a late confirm changes nothing',
    withFakeBroker(async (parts) => {
      const confirms = confirmLater(parts, 'orders.lost');
      const seen = new Log<unknown>('events');
      const { bus } = await parts.lab.boot({ providers: [orderListener(seen)] });
      const settled: string[] = [];
      const publish = bus.publish('orders.lost', 1, { id: 'the-id', timeoutMs: TIMEOUT_MS });
      publish.then(
        () => settled.push('resolved'),
        () => settled.push('rejected'),
      );
      const { error, ms } = await outcomeOf(publish);
      expect(error).toBeInstanceOf(PublishTimeoutError);
      expect(error).toMatchObject({ code: 'PUBLISH_TIMEOUT', sent: true, retryable: true });
      expect(error?.message).toMatch(/outcome is unknown/);
      expect(ms).toBeGreaterThanOrEqual(TIMEOUT_MS - 100);
      expect(ms).toBeLessThanOrEqual(TIMEOUT_MS + SLACK_MS);
      expect(parts.broker.ids('orders.lost')).toEqual(['the-id']);
      expect(pendingOf(bus)).toBe(0);
      // the broker had it all the time
      await seen.reach(1);
      expect(confirms).toHaveLength(1);
      confirms[0]?.();
      expect(await bus.publish('orders.next', 2)).toMatchObject({ state: 'confirmed', routed: true });
      await seen.reach(2);
      expect(settled).toEqual(['rejected']);
      expect(pendingOf(bus)).toBe(0);
      expect(bus.stats()).toMatchObject({ published: 2, confirmed: 1, failed: 1 });
    }),
  );

  it(
    'one topic without confirms (its queue has lost its majority) does not use up the window for the others',
    withFakeBroker(async (parts) => {
      const window = 10;
      confirmLater(parts, 'orders.lost');
      const seen = new Log<unknown>('events');
      const { bus } = await parts.lab.boot({ options: { publish: { window } }, providers: [orderListener(seen)] });
      for (const round of range(3)) {
        const lost = range(window).map((n) => bus.publish('orders.lost', n, { timeoutMs: TIMEOUT_MS }));
        const outcomes = await Promise.all(lost.map(outcomeOf));
        expect(outcomes.map(({ error }) => error?.constructor)).toEqual(outcomes.map(() => PublishTimeoutError));
        const { value, error } = await outcomeOf(bus.publish('orders.good', round, { timeoutMs: TIMEOUT_MS }));
        expect(error).toBeUndefined();
        expect(value).toMatchObject({ state: 'confirmed', routed: true });
      }
      expect(pendingOf(bus)).toBe(0);
    }),
  );

  it(
    'one topic without confirms, all the time: those beside it never wait for it while the channel is exchanged',
    withFakeBroker(async (parts) => {
      const { lab, broker } = parts;
      const [window, sickMs, healthyMs, atMostMs] = [10, 500, 10, 1_500];
      confirmLater(parts, 'orders.lost');
      const seen = new Log<unknown>('events');
      const listener = orderListener(seen);
      const { bus } = await lab.boot({ options: { publish: { window } }, providers: [listener] });
      const channels = broker.got('ChannelOpen').length;
      const sick: ReturnType<typeof outcomeOf>[] = [];
      const healthy: ReturnType<typeof outcomeOf>[] = [];
      // until the first has timed out, ten windows have passed since, and the channel was exchanged
      const end = Date.now() + 6_000;
      for await (const _ of ticks(healthyMs)) {
        if (Date.now() >= end) break;
        if (healthy.length % (sickMs / healthyMs) === 0) {
          sick.push(outcomeOf(bus.publish('orders.lost', 'lost', { timeoutMs: 3_000 })));
        }
        healthy.push(outcomeOf(bus.publish('orders.good', healthy.length)));
      }
      const outcomes = await bounded(Promise.all(healthy), 2 * atMostMs, 'the healthy publishes');
      expect(broker.got('ChannelOpen').length).toBeGreaterThan(channels);
      expect(outcomes.filter(({ error }) => error)).toEqual([]);
      expect(Math.max(...outcomes.map(({ ms }) => ms))).toBeLessThanOrEqual(atMostMs);
      for (const { error } of await Promise.all(sick)) expect(error).toBeInstanceOf(PublishTimeoutError);
      const good = (): ReadonlySet<unknown> => new Set(seen.items.filter((item) => item !== 'lost'));
      await until('all are handled', () => good().size === healthy.length);
      expect(pendingOf(bus)).toBe(0);
      expect(broker.gave('ChannelClose')).toEqual([]);
      // what took leave of one channel without an answer is sent again on the next, but not again and again
      const times = new Map<unknown, number>();
      for (const id of broker.ids('orders.lost')) times.set(id, (times.get(id) ?? 0) + 1);
      expect(Math.max(...times.values())).toBe(2);
    }),
    20_000,
  );

  it(
    'confirms out of order, several at once and late settle each publish once',
    withFakeBroker(async ({ lab, broker }) => {
      const held: Call['channel'][] = [];
      broker.on('BasicPublish', (call) => {
        broker.keep(call);
        held.push(call.channel);
        return true;
      });
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [orderListener(seen)] });
      const order: number[] = [];
      const publishes = range(20).map((n) => bus.publish('orders.created', n).then(() => order.push(n)));
      await until('all have come', () => held.length === 20);
      const [channel] = held;
      for (const tag of [20, 3, 7, 19]) channel?.confirm(tag);
      channel?.confirm(10, true);
      channel?.refuse(11);
      channel?.confirm(18, true);
      const outcomes = await bounded(Promise.all(publishes.map(outcomeOf)), 2_000, 'the publishes');
      expect(outcomes.flatMap(({ error }, n) => (error ? [[n, error.constructor]] : []))).toEqual([
        [10, PublishRejectedError],
      ]);
      expect(order.slice(0, 4)).toEqual([19, 2, 6, 18]);
      expect(order).toHaveLength(19);
      expect(pendingOf(bus)).toBe(0);
      expect(broker.gave('BasicAck').filter(({ fields }) => fields.multiple === true)).toHaveLength(2);
    }),
  );

  it(
    'a nack rejects its publish alone, as refused',
    withFakeBroker(async ({ lab, broker }) => {
      broker.on('BasicPublish', (call) => {
        if (topicOf(call) !== 'orders.refused') return false;
        call.channel.refuse(call.channel.published);
        return true;
      });
      const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
      const topics = range(50).map((n) => (n === 25 ? 'orders.refused' : 'orders.created'));
      const outcomes = await Promise.all(topics.map((topic, n) => outcomeOf(bus.publish(topic, n))));
      expect(broker.gave('BasicNack')).toHaveLength(1);
      expect(outcomes.filter(({ value }) => value?.routed === true)).toHaveLength(49);
      expect(outcomes[25]?.error).toBeInstanceOf(PublishRejectedError);
      expect(outcomes[25]?.error).toMatchObject({ code: 'NACKED', retryable: true });
      expect(pendingOf(bus)).toBe(0);
    }),
  );
});

describe('a close with publishes that have no answer', () => {
  it(
    'says which of them was sent, so that its outcome is unknown, and which was not',
    withFakeBroker(async (parts) => {
      const { lab, broker } = parts;
      confirmLater(parts, 'orders.lost');
      const options = { publish: { window: 1 }, shutdown: { deadlineMs: 300 } };
      const { app, bus } = await lab.boot({ options, providers: [orderListener(new Log<unknown>('events'))] });
      const sent = outcomeOf(bus.publish('orders.lost', 1));
      const waiting = outcomeOf(bus.publish('orders.never', 2));
      await until('the first has come', () => broker.ids('orders.lost').length === 1);
      await bounded(app.close(), 3_000, 'the close');
      const { error: unknown } = await bounded(sent, 500, 'the publish that was sent');
      expect(unknown).toBeInstanceOf(BusClosedError);
      expect(unknown).toMatchObject({ code: 'BUS_CLOSED', sent: true });
      expect(unknown?.message).toContain('outcome is unknown');
      const { error: unsent } = await bounded(waiting, 500, 'the publish that waited');
      expect(unsent).toBeInstanceOf(BusClosedError);
      expect(unsent).toMatchObject({ code: 'BUS_CLOSED', sent: false });
      expect(unsent?.message).not.toContain('unknown');
      expect(broker.ids('orders.never')).toEqual([]);
    }),
  );
});

describe('a retry copy', () => {
  it(
    'that is confirmed later than a publish may take: the handler runs as often as its policy says',
    withFakeBroker(async ({ lab, broker }) => {
      const [timeoutMs, lateMs, delayMs] = [300, 600, 50];
      const group = groupOf(lab);
      const toQueue = (name: string) =>
        broker.got('BasicPublish').filter(({ message }) => message?.exchange === '' && message.routingKey === name);
      // keeps each copy for its delay, and brings it back as its own dead letter
      broker.on('BasicPublish', (call) => {
        const { channel, message } = call;
        if (message?.exchange !== '' || !message.routingKey.startsWith(`${group}.retry.`)) return false;
        const tag = channel.published;
        setTimeout(() => broker.store.queue(group).push({ ...message, routingKey: group }), delayMs);
        setTimeout(() => channel.confirm(tag), lateMs);
        return true;
      });
      const seen = new Log<unknown>('events');
      const listener = orderListener(seen, { retry: { delaysMs: [delayMs] } }, () => {
        throw new Error('always');
      });
      const { bus } = await lab.boot({ options: { publish: { timeoutMs } }, providers: [listener] });
      await bus.publish('orders.created', 1);
      await until('both deliveries are acknowledged', () => broker.got('BasicAck').length >= 2, 5_000);
      expect(await seen.settle(2, 2 * lateMs)).toEqual([1, 1]);
      expect(toQueue(`${group}.retry.${delayMs}`)).toHaveLength(1);
      expect(toQueue(`${group}.dlq`)).toHaveLength(1);
      expect(bus.stats().groups[group]).toMatchObject({ retried: 1, deadLettered: 1 });
      expect(pendingOf(bus)).toBe(0);
    }),
  );
});

describe('a retry copy whose delivery comes again', () => {
  it(
    'because its connection was lost: is not sent any more, so that there is one message and not two',
    withFakeBroker(async ({ lab, broker }) => {
      const retryQueue = `${groupOf(lab)}.retry.50`;
      broker.on('BasicPublish', (call) => topicOf(call) === retryQueue);
      const seen = new Log<unknown>('events');
      const listener = orderListener(seen, { retry: { delaysMs: [50] } }, () => {
        throw new Error('always');
      });
      const { bus } = await lab.boot({ providers: [listener] });
      await bus.publish('orders.created', 1);
      await until('its copy has come', () => broker.ids(retryQueue).length === 1);
      for (const purpose of ['publish', 'consume'] as const) broker.linkTo(purpose).reset();
      await seen.reach(2);
      await until('the copy of the second delivery has come', () => broker.ids(retryQueue).length === 2);
      await until('the first one is given up', () => pendingOf(bus) === 1);
      await bus.publish('nobody.cares', 1, { unroutable: 'ignore' });
      expect(broker.ids(retryQueue)).toHaveLength(2);
    }),
  );
});

describe('a returned message', () => {
  it(
    'is not routed; 1,000 others around it, one with the same id, are',
    withFakeBroker(async ({ lab, broker }) => {
      // as a broker that confirms many at once
      broker.on('BasicPublish', (call) => {
        broker.keep(call);
        const { channel } = call;
        if (channel.published % 100 === 0 || topicOf(call) === 'orders.last') channel.confirm(channel.published, true);
        return true;
      });
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [orderListener(seen)] });
      const topics = range(1_001).map((n) => (n === 450 ? 'nobody.cares' : 'orders.created'));
      const options = (n: number) => (n === 449 || n === 450 ? { id: 'twice' } : {});
      const publishes = topics.map((topic, n) => bus.publish(topic, n, options(n)));
      publishes.push(bus.publish('orders.last', -1));
      const receipts = await bounded(Promise.all(publishes), 5_000, 'the publishes');
      expect(broker.gave('BasicReturn').map(({ fields }) => fields.routingKey)).toEqual(['nobody.cares']);
      expect(receipts.flatMap(({ routed }, n) => (routed === true ? [] : [[n, routed]]))).toEqual([[450, false]]);
      expect(await seen.settle(1_001)).not.toContain(450);
    }),
  );

  it(
    'that comes back without its body is not routed either',
    withFakeBroker(async ({ lab, broker }) => {
      broker.on('BasicPublish', ({ channel, message }) => {
        if (message?.routingKey !== 'nobody.cares') return false;
        channel.returnMessage(message, 'empty');
        channel.confirm(channel.published);
        return true;
      });
      const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
      const topics = ['orders.a', 'nobody.cares', 'orders.b'];
      const receipts = await Promise.all(topics.map((topic) => bus.publish(topic, { some: 'body' })));
      expect(receipts.map(({ routed }) => routed)).toEqual([true, false, true]);
    }),
  );

  it(
    'that comes back without any content does not wedge what follows',
    withFakeBroker(async ({ lab, broker }) => {
      broker.once('BasicPublish', ({ channel, message }) => {
        if (message) channel.returnMessage(message, 'bare');
        channel.confirm(channel.published);
        return true;
      });
      const { bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
      await bounded(outcomeOf(bus.publish('nobody.bare', 1)), 2_000, 'the broken return');
      // the driver takes the next return for the missing content, and closes the channel
      await bounded(outcomeOf(bus.publish('nobody.next', 2)), 5_000, 'the next return');
      expect(await bounded(bus.publish('orders.created', 3), 5_000, 'the publish after')).toMatchObject({
        routed: true,
      });
      expect(broker.gave('BasicReturn').length).toBeGreaterThanOrEqual(2);
      expect(pendingOf(bus)).toBe(0);
    }),
  );
});

describe('a connection that dies with unconfirmed messages', () => {
  const deaths: readonly (readonly [string, (link: FakeLink) => void])[] = [
    ['its socket ends', (link) => link.endSocket()],
    ['its socket is reset', (link) => link.reset()],
    ['an operator closes it (320, of which the driver says nothing)', (link) => link.close(320, 'CONNECTION_FORCED')],
    ['the broker closes it for an internal error (541)', (link) => link.close(541, 'INTERNAL_ERROR')],
  ];

  it.each(deaths)('%s: they are sent again, in order, with the same ids', async (_, die) => {
    await withFakeBroker(async ({ lab, broker }) => {
      const [total, confirmed] = [50, 20];
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [orderListener(seen, { concurrency: 1 })] });
      const victim = broker.linkTo('publish');
      broker.on('BasicPublish', (call) => {
        if (call.link !== victim) return false;
        const { channel } = call;
        if (channel.published <= confirmed) broker.keep(call);
        if (channel.published === confirmed) channel.confirm(confirmed, true);
        if (channel.published === total) die(victim);
        return true;
      });
      const publishes = range(total).map((n) => bus.publish('orders.created', n));
      const receipts = await bounded(Promise.all(publishes), 5_000, 'the publishes');
      expect(receipts.every(({ state, routed }) => state === 'confirmed' && routed === true)).toBe(true);
      const sent = receipts.map(({ id }) => id);
      expect(broker.ids('orders.created')).toEqual([...sent, ...sent.slice(confirmed)]);
      expect(broker.links.has(victim)).toBe(false);
      expect(await seen.settle(total)).toEqual(range(total));
      expect(pendingOf(bus)).toBe(0);
      await until('it is up', () => bus.status === 'up');
      expect(broker.store.consumersOf(groupOf(lab))).toHaveLength(1);
    })();
  });
});
