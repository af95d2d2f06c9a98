import assert from 'node:assert/strict';
import { ACK } from '../../core/delivery.js';
import { BusClosedError } from '../../core/errors.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { HOLD, listen } from './listener.js';
import { Log } from './log.js';
import { createMessage, createMessages, idsOf } from './message.factory.js';
import { quiet } from './until.js';

const IGNORE = Object.freeze({ deliver: () => undefined });

/** How a transport ends. */
export const CLOSE_CASES: readonly ContractCase[] = [
  transportCase('C1 C2 after close everything rejects BusClosedError', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    await transport.close();
    await assert.rejects(bench.publish(transport, createMessage('late')), BusClosedError);
    await assert.rejects(transport.consume(source, IGNORE), BusClosedError);
    await assert.rejects(transport.declare(source), BusClosedError);
    await assert.rejects(
      transport.openReplies(() => undefined),
      BusClosedError,
    );
    await assert.rejects(transport.connect({ exchanges: [], sources: [] }), BusClosedError);
  }),

  transportCase('C3 a transport is closed twice and at once without an error', async (bench) => {
    const transport = await bench.open();
    await listen(transport, bench.own());
    await Promise.all([transport.close(), transport.close({ deadlineMs: 1 })]);
    await transport.close();
  }),

  transportCase(
    'C3 a transport that never connected closes, and its waiting publishes reject BusClosedError',
    async (bench) => {
      const transport = await bench.create();
      const waiting = bench.publish(transport, createMessage('never'));
      const rejected = assert.rejects(waiting, BusClosedError);
      await transport.close({ deadlineMs: 100 });
      await rejected;
      await assert.rejects(bench.publish(transport, createMessage('late')), BusClosedError);
    },
  ),

  transportCase('W26 close waits for what is being handled, and its outcome counts', async (bench) => {
    const source = bench.shared();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, HOLD);
    await bench.publish(transport, createMessage('work'));
    const [delivery] = await deliveries.reach(1);
    let isClosed = false;
    const closing = transport.close({ deadlineMs: 5_000 }).then(() => {
      isClosed = true;
    });
    await quiet();
    assert.equal(isClosed, false);
    assert.equal(await delivery?.settle(ACK), true);
    await closing;
  }),

  transportCase(
    'W11 every publish that close() overtakes either is confirmed or rejects BusClosedError',
    async (bench) => {
      const transport = await bench.open(bench.shared());
      const published = createMessages(200).map((message) => bench.publish(transport, message));
      const settled = Promise.allSettled(published);
      await transport.close();
      const refused = (await settled).filter((outcome) => outcome.status === 'rejected');
      for (const { reason } of refused) assert.ok(reason instanceof BusClosedError, `rejected with ${String(reason)}`);
    },
  ),

  transportCase(
    'W11 of publishes that close() overtakes exactly the confirmed ones arrive',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.open(source);
      const sent = createMessages(200);
      const settled = Promise.allSettled(sent.map((message) => bench.publish(transport, message)));
      await transport.close();
      const outcomes = await settled;
      const confirmed = sent.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      const { deliveries, messages } = await listen(await bench.open(source), source);
      await deliveries.settle(confirmed.length);
      assert.deepEqual(idsOf(messages), idsOf(confirmed));
    },
    'shared',
  ),

  transportCase(
    'C13 at its deadline close() aborts the signals and gives the messages to another process',
    async (bench) => {
      const source = bench.shared();
      const transport = await bench.open(source);
      const { deliveries } = await listen(transport, source, HOLD);
      const sent = createMessages(3);
      await bench.publishAll(transport, sent);
      const signals = (await deliveries.reach(3)).map(({ signal }) => signal);
      await transport.close({ deadlineMs: 50 });
      assert.deepEqual(
        signals.map(({ aborted }) => aborted),
        [true, true, true],
      );
      const next = await listen(await bench.open(source), source);
      await next.deliveries.settle(3);
      assert.deepEqual(idsOf(next.messages), idsOf(sent));
      assert.deepEqual(
        next.deliveries.items.map(({ attempt }) => attempt),
        [1, 1, 1],
      );
    },
    'shared',
  ),

  transportCase(
    'W6 what one process has published, retried and buried is there for the next one',
    async (bench) => {
      const source = bench.shared();
      const group = bench.group();
      const first = await bench.open(source);
      const { deliveries } = await listen(first, source, ({ message, attempt }) =>
        message.topic === 'bury'
          ? { kind: 'dead', reason: 'validation' }
          : { kind: 'retry', delayMs: 1_000, attempt: attempt + 1 },
      );
      await bench.publishAll(
        first,
        ['bury', 'retry'].map((topic) => createMessage(topic)),
      );
      await deliveries.reach(2);
      await first.close();
      const second = await bench.open(source);
      const next = await listen(second, source);
      const [again] = await next.deliveries.settle(1);
      assert.deepEqual([again?.message.topic, again?.attempt], ['retry', 2]);
      const letters = await second.deadLetters.list(group, 10);
      assert.deepEqual(
        letters.map(({ message }) => message.topic),
        ['bury'],
      );
    },
    'shared',
  ),

  transportCase(
    'W2 two processes share a group: each message is handled by one of them',
    async (bench) => {
      const source = bench.shared('workers', { prefetch: 1 });
      const handled = new Log<string>('handled messages');
      const transports = [await bench.open(source), await bench.open(source)];
      const busy = new Set<number>();
      for (const [index, transport] of transports.entries()) {
        await listen(transport, source, ({ message }) => {
          busy.add(index);
          handled.add(message.id);
          return ACK;
        });
      }
      const sent = createMessages(40);
      const halves = [sent.slice(0, 20), sent.slice(20)];
      await Promise.all(transports.map((transport, index) => bench.publishAll(transport, halves[index] ?? [])));
      assert.deepEqual((await handled.settle(40)).toSorted(), idsOf(sent));
      assert.equal(busy.size, 2, 'both had work');
    },
    'shared',
  ),

  transportCase(
    'a reply reaches the process that asked',
    async (bench) => {
      const source = bench.shared('answers');
      const [asking, answering] = [await bench.open(source), await bench.open(source)];
      await listen(answering, source, async ({ message: { replyTo: address = '', correlationId = '' } }) => {
        await answering.publish({ kind: 'reply', address }, createMessage('reply', { correlationId }));
        return ACK;
      });
      const replied = new Promise((resolve, reject) => {
        asking
          .openReplies((message) => resolve(message.correlationId))
          .then((path) =>
            path.publish(
              { kind: 'group', group: bench.group('answers') },
              createMessage('question', { replyTo: path.address, correlationId: 'id-7' }),
            ),
          )
          .catch(reject);
      });
      assert.equal(await replied, 'id-7');
    },
    'shared',
  ),
];
