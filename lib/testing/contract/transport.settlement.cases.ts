import assert from 'node:assert/strict';
import { ACK, RELEASE } from '../../core/delivery.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { HOLD, listen, type Reaction, retryOf } from './listener.js';
import { Log } from './log.js';
import { createFullMessage, createMessage, createMessages, idsOf, toComparable } from './message.factory.js';
import { quiet } from './until.js';

const DELAY_MS = 40;
/** Timers and clocks of two machines may differ by this. */
const TOLERANCE_MS = 5;

const retryOnce: Reaction = (delivery) => (delivery.attempt === 1 ? retryOf(delivery) : ACK);

/** What becomes of a delivery. */
export const SETTLEMENT_CASES: readonly ContractCase[] = [
  transportCase('W4 a retried message comes again as the next attempt, to the failing group only', async (bench) => {
    const [bad, good] = [bench.shared('bad'), bench.shared('good')];
    const transport = await bench.open(bad, good);
    const failing = await listen(transport, bad, (delivery) => (delivery.attempt < 3 ? retryOf(delivery) : ACK));
    const other = await listen(transport, good);
    await bench.publish(transport, createMessage('order'));
    await failing.deliveries.settle(3);
    const seen = failing.deliveries.items.map(({ attempt, redelivered }) => `${attempt} ${redelivered}`);
    assert.deepEqual(seen, ['1 false', '2 true', '3 true']);
    assert.equal(other.deliveries.length, 1);
  }),

  transportCase('W4 of a hundred messages that all fail once each succeeds at its second attempt', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const sent = createMessages(100);
    const { deliveries } = await listen(transport, source, retryOnce);
    await bench.publishAll(transport, sent);
    await deliveries.reach(200);
    await quiet();
    const twice = deliveries.items.map(
      ({ message: { topic }, attempt, redelivered }) => `${topic} ${attempt} ${redelivered}`,
    );
    assert.deepEqual(
      twice.filter((each, index) => twice.indexOf(each) !== index),
      [],
      'none comes twice',
    );
    assert.equal(deliveries.length, 200);
    const second = deliveries.items.filter(({ attempt }) => attempt === 2);
    assert.deepEqual(idsOf(second.map(({ message }) => message)), idsOf(sent));
  }),

  transportCase('a retry waits for its delay and keeps every field of the message', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const times: number[] = [];
    const { deliveries, messages } = await listen(transport, source, (delivery) => {
      times.push(Date.now());
      return delivery.attempt === 1 ? retryOf(delivery, DELAY_MS) : ACK;
    });
    const sent = createFullMessage('full.message');
    await bench.publish(transport, sent);
    await deliveries.settle(2);
    assert.deepEqual(messages.map(toComparable), [toComparable(sent), toComparable(sent)]);
    const [first = 0, second = 0] = times;
    assert.ok(second - first >= DELAY_MS - TOLERANCE_MS, `came after ${second - first} ms`);
  }),

  transportCase('a longer delay holds up no shorter one', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries, messages } = await listen(transport, source, (delivery) => {
      if (delivery.attempt > 1) return ACK;
      return retryOf(delivery, delivery.message.topic === 'slow' ? 1_000 : 20);
    });
    await bench.publish(transport, createMessage('slow'));
    await deliveries.reach(1);
    await bench.publish(transport, createMessage('fast'));
    await deliveries.settle(4);
    assert.deepEqual(
      messages.map(({ topic }) => topic),
      ['slow', 'fast', 'fast', 'slow'],
    );
  }),

  transportCase(
    'a put-off message comes again as the same attempt, with its due time and number of deferrals',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.open(source);
      const dueAt = Date.now() + 60_000;
      const { deliveries, messages } = await listen(transport, source, ({ attempt, deferrals }) =>
        deferrals < 2
          ? { kind: 'retry', delayMs: 20, attempt, dueAt: dueAt + deferrals, deferrals: deferrals + 1 }
          : ACK,
      );
      await bench.publish(transport, createMessage('later'));
      await deliveries.settle(3);
      assert.deepEqual(
        deliveries.items.map(({ attempt, deferrals }) => [attempt, deferrals]),
        [
          [1, 0],
          [1, 1],
          [1, 2],
        ],
      );
      assert.deepEqual(
        messages.map((message) => message.dueAt),
        [undefined, dueAt, dueAt + 1],
      );
    },
  ),

  transportCase('a released message comes again, redelivered, with no attempt counted', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, (_, index) => (index < 4 ? RELEASE : ACK));
    await bench.publish(transport, createMessage('again'));
    await deliveries.settle(5);
    const seen = deliveries.items.map(({ attempt, redelivered }) => `${attempt} ${redelivered}`);
    assert.deepEqual(seen, ['1 false', '1 true', '1 true', '1 true', '1 true']);
  }),

  transportCase('a release keeps the attempt that was reached', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, (delivery, index) =>
      index === 0 ? retryOf(delivery) : index === 1 ? RELEASE : ACK,
    );
    await bench.publish(transport, createMessage('again'));
    await deliveries.settle(3);
    assert.deepEqual(
      deliveries.items.map(({ attempt }) => attempt),
      [1, 2, 2],
    );
  }),

  transportCase('of two settlements the first counts, and says so', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const answers = new Log<boolean>('answers');
    const { deliveries } = await listen(transport, source, async (delivery) => {
      const both = await Promise.all([delivery.settle(ACK), delivery.settle(retryOf(delivery))]);
      for (const answer of [...both, await delivery.settle(RELEASE)]) answers.add(answer);
      return undefined;
    });
    await bench.publish(transport, createMessage('once'));
    assert.deepEqual(await answers.settle(3), [true, false, false]);
    await deliveries.settle(1);
  }),

  transportCase('W5 with prefetch 1 the next message comes only when the last is settled', async (bench) => {
    const source = bench.shared('one', { prefetch: 1 });
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, HOLD);
    await bench.publishAll(transport, createMessages(3));
    await deliveries.settle(1, 150);
    for (const expected of [2, 3]) {
      assert.equal(await deliveries.items.at(-1)?.settle(ACK), true);
      await deliveries.settle(expected);
    }
    assert.equal(await deliveries.items.at(-1)?.settle(ACK), true);
  }),

  transportCase('C10 with prefetch n never more than n are unsettled, whatever their outcome', async (bench) => {
    const source = bench.shared('four', { prefetch: 4 });
    const transport = await bench.open(source);
    let unsettled = 0;
    let most = 0;
    const { deliveries } = await listen(transport, source, async (delivery, index) => {
      most = Math.max(most, ++unsettled);
      await quiet(2);
      unsettled--;
      if (delivery.attempt > 1 || delivery.redelivered) return ACK;
      return index % 3 === 0 ? retryOf(delivery) : index % 3 === 1 ? RELEASE : ACK;
    });
    const sent = createMessages(60);
    await bench.publishAll(transport, sent);
    await deliveries.reach(60);
    const ended = new Set<string>();
    for (let index = 0; ended.size < 60; index++) {
      const delivery = (await deliveries.reach(index + 1))[index];
      if (delivery && (delivery.redelivered || index % 3 === 2)) ended.add(delivery.message.id);
    }
    await quiet();
    assert.equal(most, 4);
  }),

  transportCase('W19 a group that hangs holds up no other', async (bench) => {
    const [stuck, quick] = [bench.shared('stuck', { prefetch: 1 }), bench.shared('quick')];
    const transport = await bench.open(stuck, quick);
    const hanging = await listen(transport, stuck, HOLD);
    const other = await listen(transport, quick);
    await bench.publishAll(transport, createMessages(50));
    await other.deliveries.settle(50);
    assert.equal(hanging.deliveries.length, 1);
    await hanging.deliveries.items[0]?.settle(ACK);
  }),

  transportCase('abort() tells the signal of its delivery only', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, HOLD);
    await bench.publishAll(transport, createMessages(2));
    const [one, two] = await deliveries.reach(2);
    assert.ok(one && two);
    const reason = new Error('too slow');
    const heard = new Promise((resolve) => one.signal.addEventListener('abort', () => resolve(one.signal.reason)));
    one.abort(reason);
    assert.equal(await heard, reason);
    assert.equal(two.signal.aborted, false);
    assert.deepEqual(await Promise.all([one.settle(ACK), two.settle(ACK)]), [true, true]);
  }),
];
