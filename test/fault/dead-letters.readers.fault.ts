import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { ACK } from '../../lib/core/delivery.js';
import type { Source, Transport } from '../../lib/core/transport.js';
import { BusClosedError, ConnectionError, DeadLettersBusyError } from '../../lib/index.js';
import { Bench } from '../../lib/testing/contract/bench.js';
import { dead, type Listener, listen } from '../../lib/testing/contract/listener.js';
import { createMessages, idsOf, toComparable } from '../../lib/testing/contract/message.factory.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { createRabbitMqHarness } from '../support/rabbitmq.harness.js';
import { byHand } from './harness/by-hand.js';
import { Door } from './harness/door.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** Letters that are in the hands of a replay at one time. */
const BATCH = 500;

onRabbit('readers of dead letters', () => {
  let bench: Bench;
  let source: Source;
  let group: string;

  beforeEach(async () => {
    bench = new Bench(await createRabbitMqHarness(RABBITMQ.url));
    source = bench.shared('group', { prefetch: 500 });
    group = bench.group();
  });

  afterEach(() => bench.dispose());

  /** Lets the first `count` deliveries die. */
  async function bury(transport: Transport, count: number): Promise<Listener> {
    const listener = await listen(transport, source, (_, index) => (index < count ? dead() : ACK));
    const all = createMessages(count);
    for (let at = 0; at < count; at += 1_000) await bench.publishAll(transport, all.slice(at, at + 1_000));
    await until(`${count} dead letters`, async () => (await transport.deadLetters.count(group)) === count, 30_000);
    return listener;
  }

  const topicsOf = async (transport: Transport): Promise<readonly string[]> =>
    (await transport.deadLetters.list(group, 10_000)).map(({ message }) => message.topic);

  it('a hundred listings of fifty change neither order nor content', async () => {
    const transport = await bench.open(source);
    await bury(transport, 50);
    const list = async (): Promise<readonly unknown[]> => {
      const letters = await transport.deadLetters.list(group, 100);
      return letters.map((letter) => ({ ...letter, message: toComparable(letter.message) }));
    };
    const before = await list();
    expect(before).toHaveLength(50);
    for (let i = 0; i < 100; i++) expect(await list()).toEqual(before);
    expect(await transport.deadLetters.count(group)).toBe(50);
  }, 60_000);

  it('a reader that takes some and dies leaves the order of the listing as it was', async () => {
    const transport = await bench.open(source);
    const listener = await listen(transport, source, () => dead());
    for (const [index, message] of createMessages(10).entries()) {
      await bench.publish(transport, message);
      await listener.deliveries.reach(index + 1);
      await until('it is buried', async () => (await transport.deadLetters.count(group)) === index + 1);
    }
    const before = await topicsOf(transport);
    expect(before).toEqual(Array.from({ length: 10 }, (_, i) => `entry.${i}`));
    await byHand(RABBITMQ.url, async (channel) => {
      for (let i = 0; i < 3; i++) expect(await channel.get(`${group}.dlq`)).not.toBe(false);
    });
    await until('they have gone back', async () => (await transport.deadLetters.count(group)) === 10);
    // the broker has put what it got back behind the others
    const first = await byHand(RABBITMQ.url, async (channel) => {
      const message = await channel.get(`${group}.dlq`);
      return message === false ? undefined : message.content.toString();
    });
    expect(first).toBe('entry.3');
    await until('that has gone back', async () => (await transport.deadLetters.count(group)) === 10);
    expect(await topicsOf(transport)).toEqual(before);
    const page = await transport.deadLetters.list(group, 3, 2);
    expect(page.map(({ message }) => message.topic)).toEqual(['entry.2', 'entry.3', 'entry.4']);
    expect(await transport.deadLetters.replay(group, { limit: 2 })).toBe(2);
    expect(await topicsOf(transport)).toEqual(['entry.2', ...before.slice(3), 'entry.0', 'entry.1']);
  }, 60_000);

  it('a replay of some leaves the others in their order, also those that failed in the same millisecond', async () => {
    const COUNT = 1_700;
    const transport = await bench.open(source);
    await bury(transport, COUNT);
    const ids = async (): Promise<readonly string[]> =>
      (await transport.deadLetters.list(group, 10_000)).map(({ message }) => message.id);
    const before = await ids();
    const [chosen, rest] = [0, 1].map((odd) => before.filter((_, i) => Number(i % 3 > 0) === odd));
    expect(await transport.deadLetters.replay(group, { ids: chosen ?? [] })).toBe(chosen?.length);
    expect(await ids()).toEqual(rest);
    expect(await transport.deadLetters.replay(group, { limit: 600 })).toBe(600);
    expect(await ids()).toEqual(rest?.slice(600));
  }, 60_000);

  it('another process waits for its turn, and its count includes what is held', async () => {
    const [one, other] = [await bench.open(source), await bench.open(source)];
    await bury(one, 2_000);
    const listings = Promise.all([one, other, one, other].map((transport) => transport.deadLetters.list(group, 5, 7)));
    const counts = await Promise.all(Array.from({ length: 10 }, () => other.deadLetters.count(group)));
    expect(new Set(counts)).toEqual(new Set([2_000]));
    const [first = [], ...others] = (await listings).map((letters) => letters.map(({ message }) => message.id));
    expect(first).toHaveLength(5);
    for (const each of others) expect(each).toEqual(first);
  }, 60_000);

  it('a reader that does not end is not waited for any longer than that; then it says who is busy', async () => {
    const transport = await bench.open(source);
    await bury(transport, 3);
    await byHand(RABBITMQ.url, async (channel) => {
      await channel.assertQueue(`${group}.dlq.reader`, { exclusive: true, durable: false });
      await channel.consume(`${group}.dlq`, () => undefined);
      const began = Date.now();
      const { deadLetters } = transport;
      const all = [deadLetters.list(group, 1), deadLetters.count(group), deadLetters.replay(group, {})];
      for (const outcome of await Promise.allSettled([...all, deadLetters.purge(group)])) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { constructor: DeadLettersBusyError } });
      }
      expect(Date.now() - began).toBeLessThan(12_000);
    });
    await until('they can be counted', async () => (await transport.deadLetters.count(group)) === 3);
    expect(await transport.deadLetters.list(group, 10)).toHaveLength(3);
  }, 60_000);

  it('a replay of all does more than can be listed, each once', async () => {
    const COUNT = 10_500;
    const transport = await bench.open(source);
    const { deliveries, messages } = await bury(transport, COUNT);
    const began = Date.now();
    expect(await transport.deadLetters.replay(group, {})).toBe(COUNT);
    const perSecond = Math.round(COUNT / ((Date.now() - began) / 1_000));
    await deliveries.reach(2 * COUNT, 30_000);
    expect(idsOf(messages.slice(COUNT))).toEqual(idsOf(messages.slice(0, COUNT)));
    expect(await transport.deadLetters.count(group)).toBe(0);
    // the bar is 2,000; here others use the machine as well
    expect(perSecond).toBeGreaterThan(500);
  }, 120_000);

  it('a replay whose connections die loses none, and repeats no more than were in its hands', async () => {
    const COUNT = 1_500;
    const quiet = await bench.open(source);
    const { deliveries, messages } = await bury(quiet, COUNT);
    const door = await Door.open(RABBITMQ.url);
    try {
      const harness = await createRabbitMqHarness(door.url());
      const behind = await harness.createTransport();
      bench.opened.push(behind);
      await behind.connect({ exchanges: [], sources: [] });
      const onProgress = (replayed: number): void => {
        if (replayed === BATCH + 200) void door.turn('closed');
      };
      await expect(behind.deadLetters.replay(group, { onProgress })).rejects.toBeInstanceOf(ConnectionError);
      await until('the broker has taken the rest back', async () => (await quiet.deadLetters.count(group)) > 0);
      await quiet.deadLetters.replay(group, {});
      await until('all have come', () => new Set(messages.slice(COUNT).map(({ id }) => id)).size === COUNT, 20_000);
      expect(deliveries.length - 2 * COUNT).toBeLessThanOrEqual(BATCH);
      expect(await quiet.deadLetters.count(group)).toBe(0);
    } finally {
      await door.turn('closed');
    }
  }, 60_000);

  it('a transport that is closed during a replay ends in time; what is not replayed stays dead', async () => {
    const COUNT = 3_000;
    const [closing, quiet] = [await bench.open(source), await bench.open(source)];
    const { messages } = await bury(quiet, COUNT);
    let closed: Promise<void> | undefined;
    let began = 0;
    const onProgress = (): void => {
      began ||= Date.now();
      closed ??= closing.close({ deadlineMs: 3_000 });
    };
    await expect(closing.deadLetters.replay(group, { onProgress })).rejects.toBeInstanceOf(BusClosedError);
    await closed;
    expect(Date.now() - began).toBeLessThan(4_000);
    await expect(closing.deadLetters.list(group, 1)).rejects.toBeInstanceOf(BusClosedError);
    const left = await quiet.deadLetters.count(group);
    expect(left).toBeGreaterThan(0);
    expect(await quiet.deadLetters.replay(group, {})).toBe(left);
    await until('all have come', () => messages.length >= 2 * COUNT, 20_000);
    expect(idsOf(messages.slice(COUNT))).toEqual(idsOf(messages.slice(0, COUNT)));
  }, 60_000);

  it('a group with a name too long for a queue has none, like any group that does not exist', async () => {
    const transport = await bench.open();
    const { deadLetters } = transport;
    for (const length of [244, 245, 252, 1_000]) {
      const name = 'g'.repeat(length);
      expect(await deadLetters.count(name)).toBe(0);
      expect(await deadLetters.list(name, 1)).toEqual([]);
      expect(await deadLetters.replay(name, {})).toBe(0);
      expect(await deadLetters.purge(name)).toBe(0);
    }
    expect(transport.connection.state).toBe('up');
  });

  it('a replay to a queue that is full tells so, and what found no room stays dead, in its order', async () => {
    const full = { ...source, queue: { arguments: { 'x-max-length': 2 } } };
    const transport = await bench.open(full);
    const { consumer, deliveries } = await listen(transport, full, () => dead());
    for (const [index, message] of createMessages(6).entries()) {
      await bench.publish(transport, message);
      await deliveries.reach(index + 1);
      await until('it is buried', async () => (await transport.deadLetters.count(group)) === index + 1);
    }
    await consumer.close();
    const filler = createMessages(20, 'filler');
    for (const message of filler) await bench.publish(transport, message).catch(() => undefined);
    await expect(transport.deadLetters.replay(group, {})).rejects.toMatchObject({ code: 'NACKED' });
    expect(await topicsOf(transport)).toEqual(Array.from({ length: 6 }, (_, i) => `entry.${i}`));
  }, 60_000);

  it('a replay under which the queue is removed tells how many it did', async () => {
    const transport = await bench.open(source);
    const { deliveries } = await bury(transport, 1_500);
    let told = 0;
    let removed: Promise<unknown> | undefined;
    const onProgress = (replayed: number): void => {
      told = replayed;
      if (replayed === 20) removed ??= byHand(RABBITMQ.url, (channel) => channel.deleteQueue(`${group}.dlq`));
    };
    // whether it is met between two batches, or in the middle of one, is chance
    const outcome = await transport.deadLetters.replay(group, { onProgress }).catch((error: unknown) => error);
    await removed;
    expect(outcome instanceof ConnectionError ? told : outcome).toBe(told);
    expect(told).toBeGreaterThan(0);
    await deliveries.reach(1_500 + told);
  }, 60_000);

  it('a listing that nobody has asked the queue for by name is empty, and makes none', async () => {
    const transport = await bench.open(source);
    const unheard = bench.group('unheard-of');
    expect(await transport.deadLetters.list(unheard, 10, 5)).toEqual([]);
    const connection = await connect(RABBITMQ.url);
    try {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      await expect(channel.checkQueue(`${unheard}.dlq`)).rejects.toMatchObject({ code: 404 });
    } finally {
      await connection.close();
    }
  });
});
