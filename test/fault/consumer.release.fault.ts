import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { groupOf, heldOf, orderListener, range, withFakeBroker } from './harness/fake-broker.lab.js';
import { HeldWork } from './harness/fake-broker.work.js';
import { roundTrip } from './harness/round-trip.js';

const endings = [
  ['its handler ends in time', true],
  ['its handler does not end', false],
] as const;

it.each(endings)(
  'a close with deliveries that wait, %s: the consumer is cancelled before anything is given back, and gets nothing again',
  async (_, isEnding) => {
    await withFakeBroker(async ({ lab, broker }) => {
      const group = groupOf(lab);
      const [total, prefetch, deadlineMs] = [50, 20, isEnding ? 3_000 : 400];
      const work = new HeldWork();
      const listener = orderListener(new Log<unknown>('events'), { concurrency: 1, prefetch }, work.hold);
      const { app, bus } = await lab.boot({ options: { shutdown: { deadlineMs } }, providers: [listener] });
      await Promise.all(range(total).map((n) => bus.publish('orders.created', n)));
      await work.begun(1);
      await until('as many as it may hold have come', () => heldOf(broker, group) === prefetch);
      await roundTrip(app); // they come together with the answer that it consumes, after which it can be cancelled
      const [consumer] = broker.store.consumersOf(group);
      const isOfConsumer = ({ fields }: { readonly fields: Readonly<Record<string, unknown>> }): boolean =>
        fields.consumerTag === consumer?.tag;
      const delivered = broker.gave('BasicDeliver').length;
      // not their number: what turns out to be the record of groups is left out later
      const before = new Set(broker.received);

      const closed = app.close();
      if (isEnding) {
        await until('what waits is given back', () => broker.store.queue(group).entries.length === total - 1);
        work.end(0);
      }
      await bounded(closed, deadlineMs + 2_000, 'the close');

      const after = broker.received.filter((call) => !before.has(call));
      const cancelled = after.findIndex((call) => call.method === 'BasicCancel' && isOfConsumer(call));
      const isReturn = ({ method, fields }: (typeof after)[number]): boolean =>
        (method === 'BasicNack' || method === 'BasicReject') && fields.requeue === true;
      expect(cancelled).toBeGreaterThanOrEqual(0);
      expect(after.findIndex(isReturn)).toBeGreaterThan(cancelled);
      expect(after.filter(isReturn).length).toBeGreaterThanOrEqual(prefetch - 1);
      expect(after.filter(({ method }) => method === 'BasicAck')).toHaveLength(isEnding ? 1 : 0);
      expect(broker.gave('BasicDeliver')).toHaveLength(delivered);
      expect(broker.store.queue(group).entries).toHaveLength(isEnding ? total - 1 : total);
      expect(work.runs.map(({ payload }) => payload)).toEqual([0]);
      if (!isEnding) work.end(0);
    })();
  },
);
