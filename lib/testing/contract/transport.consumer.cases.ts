import assert from 'node:assert/strict';
import { ACK } from '../../core/delivery.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { HOLD, listen } from './listener.js';
import { createMessage, createMessages, idsOf } from './message.factory.js';
import { quiet } from './until.js';

/** The life of one consumer. */
export const CONSUMER_CASES: readonly ContractCase[] = [
  transportCase('a paused consumer gets nothing; resumed, it gets everything that waited', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { consumer, deliveries, messages } = await listen(transport, source);
    assert.equal(consumer.state, 'running');
    await consumer.pause();
    await consumer.pause();
    assert.equal(consumer.state, 'paused');
    const sent = createMessages(5);
    await bench.publishAll(transport, sent);
    await quiet(150);
    assert.equal(deliveries.length, 0);
    await consumer.resume();
    await consumer.resume();
    assert.equal(consumer.state, 'running');
    await deliveries.settle(5);
    assert.deepEqual(idsOf(messages), idsOf(sent));
  }),

  transportCase('what was delivered before a pause is settled during it', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { consumer, deliveries } = await listen(transport, source, HOLD);
    await bench.publish(transport, createMessage('before'));
    const [delivery] = await deliveries.reach(1);
    await consumer.pause();
    assert.equal(await delivery?.settle(ACK), true);
    await consumer.resume();
    await deliveries.settle(1);
  }),

  transportCase('a paused private consumer loses nothing', async (bench) => {
    const transport = await bench.open();
    const { consumer, deliveries } = await listen(transport, bench.own());
    await consumer.pause();
    assert.deepEqual(await bench.publish(transport, createMessage('meanwhile')), { routed: true });
    await quiet();
    assert.equal(deliveries.length, 0);
    await consumer.resume();
    await deliveries.settle(1);
  }),

  transportCase('while one member of a group is paused the others go on', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const [idle, busy] = await Promise.all([listen(transport, source), listen(transport, source)]);
    await idle.consumer.pause();
    await bench.publishAll(transport, createMessages(20));
    await busy.deliveries.settle(20);
    assert.equal(idle.deliveries.length, 0);
  }),

  transportCase('C15 closing waits for what was delivered; nothing new arrives, nothing is lost', async (bench) => {
    const source = bench.shared('two', { prefetch: 2 });
    const transport = await bench.open(source);
    const { consumer, deliveries } = await listen(transport, source, HOLD);
    const sent = createMessages(5);
    await bench.publishAll(transport, sent);
    const delivered = [...(await deliveries.reach(2))];
    let isClosed = false;
    const closing = consumer.close({ deadlineMs: 5_000 }).then(() => {
      isClosed = true;
    });
    await quiet();
    assert.equal(isClosed, false, 'it waits for the running ones');
    for (const delivery of delivered) {
      assert.equal(delivery.signal.aborted, false);
      assert.equal(await delivery.settle(ACK), true);
    }
    await closing;
    assert.equal(consumer.state, 'closed');
    const next = await listen(transport, source);
    await next.deliveries.settle(3);
    assert.equal(deliveries.length, 2);
    assert.deepEqual(idsOf([...delivered.map(({ message }) => message), ...next.messages]), idsOf(sent));
  }),

  transportCase(
    'C13 at its deadline a closing consumer aborts the signals and gives the messages back',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.open(source);
      const { consumer, deliveries } = await listen(transport, source, HOLD);
      await bench.publish(transport, createMessage('long.work'));
      const [delivery] = await deliveries.reach(1);
      assert.ok(delivery);
      const { signal } = delivery;
      const started = Date.now();
      await consumer.close({ deadlineMs: 50 });
      assert.ok(Date.now() - started < 2_000, 'it ends soon after its deadline');
      assert.equal(signal.aborted, true);
      assert.equal((signal.reason as { code?: unknown }).code, 'BUS_CLOSED');
      assert.equal(await delivery.settle(ACK), false, 'too late');
      const next = await listen(transport, source);
      const [again] = await next.deliveries.settle(1);
      assert.deepEqual([again?.attempt, again?.redelivered], [1, true]);
    },
  ),

  transportCase('C3 a consumer is closed twice, at once and paused, without an error', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { consumer, deliveries } = await listen(transport, source);
    await consumer.pause();
    await Promise.all([consumer.close(), consumer.close()]);
    await consumer.close();
    assert.equal(consumer.state, 'closed');
    assert.deepEqual(await bench.publish(transport, createMessage('later')), { routed: true });
    const next = await listen(transport, source);
    await next.deliveries.settle(1);
    assert.equal(deliveries.length, 0);
  }),

  transportCase('W18 consume, publish, pause and close may race: nothing is lost, nothing fails', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const handled: string[] = [];
    const sent = createMessages(45);
    for (let round = 0; round < 15; round++) {
      const mine = sent.slice(round * 3, round * 3 + 3);
      const published = bench.publishAll(transport, mine);
      const { consumer } = await listen(transport, source, ({ message }) => {
        handled.push(message.id);
        return ACK;
      });
      const paused = consumer.pause();
      await Promise.all([published, paused, consumer.close(), consumer.resume()]);
    }
    const { deliveries, messages } = await listen(transport, source);
    await deliveries.settle(45 - handled.length);
    assert.deepEqual([...handled, ...idsOf(messages)].toSorted(), idsOf(sent));
  }),
];
