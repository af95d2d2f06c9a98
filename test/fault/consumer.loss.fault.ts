import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { type EventBusService, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import type { FakeBroker } from './harness/fake-broker.js';
import {
  groupOf,
  heldOf,
  orderListener,
  outcomeOf,
  quickOptions,
  range,
  storedEvent,
  warnings,
  withFakeBroker,
} from './harness/fake-broker.lab.js';
import type { FakeConsumer } from './harness/fake-broker.queue.js';
import { HeldWork } from './harness/fake-broker.work.js';
import { roundTrip } from './harness/round-trip.js';

const RECOVERED_MS = 5_000;
const TIMED_OUT =
  'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms';

function consumerOf(broker: FakeBroker, group: string): FakeConsumer {
  const [consumer] = broker.store.consumersOf(group);
  if (!consumer) throw new Error(`Nobody consumes "${group}".`);
  return consumer;
}

const closeChannel = ({ channel }: FakeConsumer): void => channel.close(406, TIMED_OUT);
const cancel = ({ channel, tag }: FakeConsumer): void => channel.cancelConsumer(tag);
const resetLink = ({ channel }: FakeConsumer): void => channel.link.reset();

/** How often the consumer of a group was taken away, as its bus tells. */
function interruptionsOf(bus: EventBusService, group: string): number | undefined {
  return bus.stats().groups[group]?.interrupted;
}

@Injectable()
class OtherListener {
  readonly seen = new Log<unknown>('events of another subscription');

  @OnEvent('orders.*')
  on(payload: unknown): void {
    this.seen.add(payload);
  }
}

describe('a handler that holds its delivery for longer than the broker allows', () => {
  const behaviours = [
    ['the broker closes the channel (RabbitMQ before 4.3)', closeChannel, 'ChannelClose'],
    ['the broker cancels the consumer (RabbitMQ 4.3)', cancel, 'BasicCancel'],
  ] as const;

  it.each(behaviours)('%s: handled again, warned once, others go on', async (_, timeOut, method) => {
    await withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const work = new HeldWork();
      const listener = orderListener(new Log<unknown>('events'), { concurrency: 1 }, work.hold);
      const { app, bus } = await lab.boot({ providers: [listener, OtherListener] });
      const others = app.get(OtherListener).seen;
      // the first event comes to a consumer of one, which is then exchanged
      await bus.publish('orders.created', 0);
      await work.begun(1);
      work.end(0);
      await until('it is settled, and another consumer there', () => {
        const [consumer] = broker.store.consumersOf(group);
        return consumer !== undefined && consumer.held === 0 && consumer.prefetch > 1;
      });
      await bus.publish('orders.created', 1);
      await work.begun(2);
      const victim = consumerOf(broker, group);
      expect(victim.held).toBe(1);

      timeOut(victim);
      const begin = Date.now();
      expect(broker.gave(method)).toHaveLength(1);
      await bus.publish('orders.created', 2);
      await others.reach(3, 1_000);
      await until('it consumes again', () => broker.store.consumersOf(group).length === 1, RECOVERED_MS);
      work.end(1);
      await work.begun(3);
      expect(work.runs[2]?.payload).toBe(1);
      expect(Date.now() - begin).toBeLessThanOrEqual(RECOVERED_MS);
      work.end(2);
      await work.begun(4);
      work.end(3);
      await until('nothing is left', () => broker.store.queue(group).entries.length + heldOf(broker, group) === 0);

      expect(work.runs.map(({ payload }) => payload)).toEqual([0, 1, 1, 2]);
      expect(others.items).toEqual([0, 1, 2]);
      expect(interruptionsOf(bus, group)).toBe(1);
      expect(warnings(lab)).toHaveLength(1);
      expect(warnings(lab)[0]).toContain(group);
      expect(bus.status).toBe('up');
      expect(broker.connections).toBe(2);
    })();
  });

  it(
    'time after time: each warned of, as each is a new loss',
    withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const work = new HeldWork();
      const listener = orderListener(new Log<unknown>('events'), { concurrency: 2 }, work.hold);
      const { bus } = await lab.boot({ providers: [listener] });
      await bus.publish('orders.created', 1);
      for (const round of range(2)) {
        await work.begun(round + 1);
        closeChannel(consumerOf(broker, group));
        await until('it consumes again', () => broker.store.consumersOf(group).length === 1, RECOVERED_MS);
      }
      expect(warnings(lab)).toHaveLength(2);
      expect(interruptionsOf(bus, group)).toBe(2);
      for (const run of range(2)) work.end(run);
      await work.begun(3);
      work.end(2);
      await until('nothing is left', () => broker.store.queue(group).entries.length + heldOf(broker, group) === 0);
    }),
  );
});

describe('a handler that ends after its channel was replaced', () => {
  const losses = [
    ['closed by the broker', closeChannel],
    ['its consumer cancelled', cancel],
    ['its connection lost', resetLink],
  ] as const;
  const endings = [
    ['returns', undefined],
    ['throws', new Error('too late')],
  ] as const;
  const cases = losses.flatMap(([loss, lose]) =>
    endings.map(([ending, error]) => [loss, ending, lose, error] as const),
  );

  it.each(cases)(
    '%s, the handler %s: nothing of it is sent, and it is counted as stale',
    async (_, __, lose, error) => {
      await withFakeBroker(async ({ lab, broker }) => {
        const group = groupOf(lab);
        const work = new HeldWork();
        const listener = orderListener(new Log<unknown>('events'), { concurrency: 2 }, work.hold);
        const { app, bus } = await lab.boot({ providers: [listener] });
        await bus.publish('orders.created', 1);
        await work.begun(1);
        lose(consumerOf(broker, group));
        await work.begun(2, RECOVERED_MS);
        // the same number on another channel: an acknowledgement of the first would settle the second
        const tags = broker.gave('BasicDeliver').map(({ fields }) => fields.deliveryTag);
        expect(tags).toEqual([1, 1]);
        const published = broker.got('BasicPublish').length;

        work.end(0, error);
        await until('it is counted', () => bus.stats().groups[group]?.stale === 1);
        // whatever was sent before it has arrived
        await bus.publish('nobody.cares', 1, { unroutable: 'ignore' });
        await roundTrip(app);
        expect(broker.got('BasicPublish')).toHaveLength(published + 1);
        for (const method of ['BasicAck', 'BasicNack', 'BasicReject'] as const) expect(broker.got(method)).toEqual([]);
        expect(consumerOf(broker, group).channel.unacked.size).toBe(1);

        work.end(1);
        await until('the second is acknowledged', () => broker.got('BasicAck').length === 1);
        expect(heldOf(broker, group)).toBe(0);
        expect(broker.gave('ChannelClose')).toHaveLength(lose === closeChannel ? 1 : 0);
        expect(bus.stats().groups[group]).toMatchObject({ stale: 1, interrupted: 1 });
        expect(work.runs).toHaveLength(2);
      })();
    },
  );
});

describe('a consumer that the broker takes away', () => {
  it(
    'again and again under load: consuming again within 5 s each time, and every event is handled',
    withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const [rounds, perRound] = [5, 200];
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [orderListener(seen, { concurrency: 4 })] });
      const publishes: Promise<unknown>[] = [];
      for (const round of range(rounds)) {
        publishes.push(...range(perRound).map((n) => bus.publish('orders.created', round * perRound + n)));
        await seen.reach(round * perRound + perRound / 4);
        cancel(consumerOf(broker, group));
        await until('it consumes again', () => broker.store.consumersOf(group).length === 1, RECOVERED_MS);
      }
      await Promise.all(publishes);
      await until('all are handled', () => new Set(seen.items).size === rounds * perRound);
      await until('nothing is left', () => broker.store.queue(group).entries.length + heldOf(broker, group) === 0);
      expect(broker.gave('BasicCancel')).toHaveLength(rounds);
      expect(interruptionsOf(bus, group)).toBe(rounds);
      // at most what was held when the consumer went comes twice
      expect(seen.length).toBeLessThanOrEqual(rounds * (perRound + 8));
      expect(broker.gave('ChannelClose')).toEqual([]);
      await until('it is up', () => bus.status === 'up');
    }),
  );

  it(
    'and then does not answer the close of its channel: consuming again within 5 s all the same',
    withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const seen = new Log<unknown>('events');
      const options = quickOptions(broker.url);
      const { bus } = await lab.boot({ options, providers: [orderListener(seen)] });
      const unanswered = broker.got('ChannelClose').length;
      broker.on('ChannelClose', ({ link, channel }) => link === broker.linkTo('consume') && channel.prefetch > 0);
      cancel(consumerOf(broker, group));
      await until('it closes its channel', () => broker.got('ChannelClose').length > unanswered);
      await bus.publish('orders.created', 1);
      expect(await seen.reach(1, RECOVERED_MS)).toEqual([1]);
      expect(interruptionsOf(bus, group)).toBe(1);
    }),
  );
});

describe('deliveries that come early', () => {
  it(
    'together with the answer to basic.consume: all are handled',
    withFakeBroker(async ({ lab, broker }) => {
      const seen = new Log<unknown>('events');
      const queue = broker.store.declareQueue(groupOf(lab));
      for (const n of range(50)) queue.push(storedEvent(n));
      await lab.boot({ providers: [orderListener(seen, { concurrency: 1 })] });
      expect(await seen.settle(50)).toEqual(range(50));
      await until('all are acknowledged', () => heldOf(broker, groupOf(lab)) === 0);
    }),
  );

  it(
    'before it, from a broker that breaks the rules: handled all the same',
    withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const seen = new Log<unknown>('events');
      const queue = broker.store.declareQueue(group);
      for (const n of range(5)) queue.push(storedEvent(n));
      let isEarly = false;
      broker.on('BasicConsume', ({ channel, fields }) => {
        const [entry] = queue.entries;
        if (fields.queue !== group || isEarly || !entry) return false;
        isEarly = true;
        const consumer = { tag: 'early', channel, queue, noAck: false, prefetch: 1, held: 0 };
        channel.deliver(consumer, entry);
        queue.entries.shift();
        return false;
      });
      const { value: booted, error } = await bounded(
        outcomeOf(lab.boot({ providers: [orderListener(seen, { concurrency: 1 })] })),
        RECOVERED_MS,
        'the boot',
      );
      expect(error).toBeUndefined();
      await until('all are handled', () => new Set(seen.items).size === 5, RECOVERED_MS);
      await until('all are acknowledged', () => queue.entries.length + heldOf(broker, group) === 0);
      expect(isEarly).toBe(true);
      expect(booted?.bus.status).toBe('up');
    }),
  );
});
