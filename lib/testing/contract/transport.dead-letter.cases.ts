import assert from 'node:assert/strict';
import { ACK } from '../../core/delivery.js';
import type { Message } from '../../core/message.js';
import type { Source, Transport } from '../../core/transport.js';
import type { Bench } from './bench.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { dead, type Listener, listen, retryOf } from './listener.js';
import { createFullMessage, createMessage, createMessages, idsOf, toComparable } from './message.factory.js';
import { quiet, until } from './until.js';

/** Publishes and buries one after the other; the listener lets through what is replayed. */
async function bury(
  bench: Bench,
  transport: Transport,
  source: Source,
  messages: readonly Message[],
): Promise<Listener> {
  const { group = '' } = source;
  const seen = new Set<string>();
  const listener = await listen(transport, source, ({ message }) => {
    if (seen.has(message.id)) return ACK;
    seen.add(message.id);
    return dead();
  });
  for (const [index, message] of messages.entries()) {
    await bench.publish(transport, message);
    const buried = async (): Promise<boolean> => (await transport.deadLetters.count(group)) === index + 1;
    await until(`${index + 1} dead letters`, buried);
  }
  return listener;
}

/** What becomes of a message that cannot be handled. */
export const DEAD_LETTER_CASES: readonly ContractCase[] = [
  transportCase(
    'C5 a dead letter tells why, how often and when it failed, and keeps the message whole',
    async (bench) => {
      const source = bench.shared();
      const group = bench.group();
      const transport = await bench.open(source);
      const before = Date.now();
      const message = createFullMessage('order.placed');
      const { deliveries } = await listen(transport, source, (delivery) =>
        delivery.attempt < 3 ? retryOf(delivery) : dead('attempts-exhausted'),
      );
      await bench.publish(transport, message);
      await until('a dead letter', async () => (await transport.deadLetters.count(group)) === 1);
      const [letter] = await transport.deadLetters.list(group, 10);
      assert.ok(letter);
      const { message: kept, reason, attempts, failure, firstFailedAt = 0, lastFailedAt = 0 } = letter;
      assert.deepEqual({ reason, attempts }, { reason: 'attempts-exhausted', attempts: 3 });
      assert.deepEqual({ ...failure }, { name: 'Boom', message: 'it broke', stack: 'Boom: it broke\n    at here' });
      assert.deepEqual(toComparable(kept), toComparable(message));
      const times = [before, firstFailedAt + 1_000, lastFailedAt + 1_000, Date.now() + 1_000];
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
        'before ≤ first ≤ last failure ≤ now',
      );
      assert.ok(lastFailedAt > firstFailedAt, 'the first failure is not the last');
      assert.equal(deliveries.length, 3);
    },
  ),

  transportCase('a failure in any script, without a stack, or none at all, is kept as it is', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const failure = { name: 'Fehler', message: 'Größe ≠ 漢字 🚚\nzweite Zeile' };
    await listen(transport, source, ({ message }) =>
      message.topic === 'with'
        ? { kind: 'dead', reason: 'validation', failure }
        : { kind: 'dead', reason: 'forbidden' },
    );
    await bench.publish(transport, createMessage('with'));
    await bench.publish(transport, createMessage('without'));
    await until('two dead letters', async () => (await transport.deadLetters.count(group)) === 2);
    const letters = await transport.deadLetters.list(group, 10);
    const seen = Object.fromEntries(letters.map(({ message, reason, failure: f }) => [message.topic, { reason, f }]));
    assert.deepEqual(seen, {
      with: { reason: 'validation', f: failure },
      without: { reason: 'forbidden', f: undefined },
    });
  }),

  transportCase('a group without dead letters has none to list, count, replay or purge', async (bench) => {
    const transport = await bench.open(bench.shared());
    const { deadLetters } = transport;
    for (const group of [bench.group(), bench.group('unheard-of')]) {
      assert.deepEqual(await deadLetters.list(group, 10), []);
      assert.equal(await deadLetters.count(group), 0);
      assert.equal(await deadLetters.replay(group, {}), 0);
      assert.equal(await deadLetters.purge(group), 0);
    }
    assert.deepEqual(await bench.publish(transport, createMessage('still.works')), { routed: true });
  }),

  transportCase('listing ten times, also at once, changes nothing: oldest first, at most the limit', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const { deadLetters } = transport;
    const sent = createMessages(5);
    await bury(bench, transport, source, sent);
    const topics = sent.map(({ topic }) => topic);
    const list = async (limit: number): Promise<readonly string[]> =>
      (await deadLetters.list(group, limit)).map(({ message }) => message.topic);
    for (let i = 0; i < 10; i++) assert.deepEqual(await list(10), topics, `listing ${i + 1}`);
    assert.deepEqual(await list(2), topics.slice(0, 2));
    for (const each of await Promise.all([list(10), list(10)])) assert.deepEqual(each, topics);
    const attempts = (await deadLetters.list(group, 10)).map((letter) => letter.attempts);
    assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
    assert.equal(await deadLetters.count(group), 5);
  }),

  transportCase('replay goes to the failing group only, as attempt 1, each message whole', async (bench) => {
    const [bad, good] = [bench.shared('bad'), bench.shared('good')];
    const transport = await bench.open(bad, good);
    const other = await listen(transport, good);
    const message = createFullMessage('order.placed');
    const { deliveries, messages } = await bury(bench, transport, bad, [message]);
    assert.equal(await transport.deadLetters.replay(bench.group('bad'), {}), 1);
    await deliveries.settle(2);
    assert.deepEqual(
      deliveries.items.map(({ attempt, deferrals }) => [attempt, deferrals]),
      [
        [1, 0],
        [1, 0],
      ],
    );
    assert.deepEqual(messages.map(toComparable), [toComparable(message), toComparable(message)]);
    assert.equal(other.deliveries.length, 1);
    assert.equal(await transport.deadLetters.count(bench.group('bad')), 0);
  }),

  transportCase('a replayed message that fails again starts its attempts and its failures anew', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source, (delivery) =>
      delivery.attempt < 2 ? retryOf(delivery) : dead(),
    );
    await bench.publish(transport, createMessage('stubborn'));
    const buried = (): Promise<void> =>
      until('a dead letter', async () => (await transport.deadLetters.count(group)) === 1);
    await buried();
    const [first] = await transport.deadLetters.list(group, 1);
    assert.equal(await transport.deadLetters.replay(group, {}), 1);
    await deliveries.reach(4);
    await buried();
    const [second] = await transport.deadLetters.list(group, 1);
    assert.deepEqual(
      deliveries.items.map(({ attempt }) => attempt),
      [1, 2, 1, 2],
    );
    assert.deepEqual([first?.attempts, second?.attempts], [2, 2]);
    assert.ok((second?.firstFailedAt ?? 0) >= (first?.lastFailedAt ?? Number.POSITIVE_INFINITY));
  }),

  transportCase('replay by ids takes those and leaves the others in their order', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const sent = createMessages(5);
    const { deliveries, messages } = await bury(bench, transport, source, sent);
    const ids = [3, 1].map((i) => sent[i]?.id ?? '');
    assert.equal(await transport.deadLetters.replay(group, { ids: [...ids, 'unknown'] }), 2);
    await deliveries.settle(7);
    assert.deepEqual(idsOf(messages.slice(5)), ids.toSorted());
    const left = (await transport.deadLetters.list(group, 10)).map(({ message }) => message.topic);
    assert.deepEqual(left, ['entry.0', 'entry.2', 'entry.4']);
  }),

  transportCase('replay by limit takes the oldest; purge removes the rest and says how many', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const { deliveries, messages } = await bury(bench, transport, source, createMessages(5));
    assert.equal(await transport.deadLetters.replay(group, { limit: 2 }), 2);
    await deliveries.settle(7);
    assert.deepEqual(
      messages
        .slice(5)
        .map(({ topic }) => topic)
        .toSorted(),
      ['entry.0', 'entry.1'],
    );
    assert.equal(await transport.deadLetters.purge(group), 3);
    assert.equal(await transport.deadLetters.count(group), 0);
    await quiet();
    assert.equal(deliveries.length, 7);
  }),

  transportCase('two replays at once give each message back once', async (bench) => {
    const source = bench.shared();
    const group = bench.group();
    const transport = await bench.open(source);
    const { deliveries } = await bury(bench, transport, source, createMessages(10));
    const { deadLetters } = transport;
    const counts = await Promise.all([deadLetters.replay(group, {}), deadLetters.replay(group, {})]);
    assert.equal(counts[0] + counts[1] + (await deadLetters.replay(group, {})), 10);
    await deliveries.settle(20);
    assert.equal(await deadLetters.count(group), 0);
  }),

  transportCase('the dead letters of a private source outlive it, in the group named for them', async (bench) => {
    const transport = await bench.open();
    const group = bench.group('broadcast');
    const { consumer, deliveries } = await listen(transport, bench.own(), () => dead('validation'));
    const message = createFullMessage('order.placed');
    await bench.publish(transport, message);
    await deliveries.reach(1);
    await consumer.close();
    await until('a dead letter', async () => (await transport.deadLetters.count(group)) === 1);
    const [letter] = await transport.deadLetters.list(group, 10);
    assert.equal(letter?.reason, 'validation');
    assert.deepEqual(letter && toComparable(letter.message), toComparable(message));
    assert.equal(await transport.deadLetters.purge(group), 1);
  }),

  transportCase('dead letters of one group are none of another', async (bench) => {
    const [one, two] = [bench.shared('one'), bench.shared('one.two')];
    const transport = await bench.open(one, two);
    await listen(transport, two);
    await bury(bench, transport, one, createMessages(2));
    assert.equal(await transport.deadLetters.count(bench.group('one.two')), 0);
    assert.equal(await transport.deadLetters.purge(bench.group('one.two')), 0);
    assert.equal(await transport.deadLetters.count(bench.group('one')), 2);
  }),
];
