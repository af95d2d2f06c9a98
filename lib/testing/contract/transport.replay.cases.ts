import assert from 'node:assert/strict';
import { ACK, type Delivery } from '../../core/delivery.js';
import { ConfigurationError } from '../../core/errors.js';
import type { Message } from '../../core/message.js';
import type { DeadLetterRecord, Source, Transport } from '../../core/transport.js';
import type { Bench } from './bench.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { dead, type Listener, listen } from './listener.js';
import { createMessage, createMessages, idsOf, toComparable } from './message.factory.js';
import { quiet, until } from './until.js';

interface Graveyard extends Listener {
  readonly transport: Transport;
  readonly group: string;
  readonly topics: (limit: number, offset?: number) => Promise<readonly string[]>;
  readonly buried: (count: number) => Promise<void>;
}

/** A group that lets everything die for which `isDead` holds. */
async function open(
  bench: Bench,
  source: Source = bench.shared(),
  isDead: (delivery: Delivery, index: number) => boolean = () => true,
): Promise<Graveyard> {
  const transport = await bench.open(...(source.group === undefined ? [] : [source]));
  const group = source.group ?? source.deadLetterGroup;
  const { deadLetters } = transport;
  const listener = await listen(transport, source, (delivery, index) => (isDead(delivery, index) ? dead() : ACK));
  return {
    ...listener,
    transport,
    group,
    topics: async (limit, offset) => (await deadLetters.list(group, limit, offset)).map(({ message }) => message.topic),
    buried: (count) => until(`${count} dead letters`, async () => (await deadLetters.count(group)) === count),
  };
}

/** One after the other, so that their order is known. */
async function buryEach(bench: Bench, { transport, deliveries, buried }: Graveyard, all: readonly Message[]) {
  for (const [index, message] of all.entries()) {
    await bench.publish(transport, message);
    await deliveries.reach(index + 1);
    await buried(index + 1);
  }
}

const comparable = (letters: readonly DeadLetterRecord[]): readonly unknown[] =>
  letters.map((letter) => ({ ...letter, message: toComparable(letter.message) }));

/** Dead letters in pages, and their way back. */
export const REPLAY_CASES: readonly ContractCase[] = [
  transportCase('a page of dead letters begins at its offset, and beyond the last one it is empty', async (bench) => {
    const yard = await open(bench);
    await buryEach(bench, yard, createMessages(5));
    assert.deepEqual(await yard.topics(2), ['entry.0', 'entry.1']);
    assert.deepEqual(await yard.topics(2, 2), ['entry.2', 'entry.3']);
    assert.deepEqual(await yard.topics(2, 4), ['entry.4']);
    assert.deepEqual(await yard.topics(10, 3), ['entry.3', 'entry.4']);
    for (const offset of [5, 1_000_000]) assert.deepEqual(await yard.topics(10, offset), []);
    assert.deepEqual(await yard.topics(5), ['entry.0', 'entry.1', 'entry.2', 'entry.3', 'entry.4']);
  }),

  transportCase('many listings, in pages and at once, change nothing of what is listed', async (bench) => {
    const yard = await open(bench);
    const { deadLetters } = yard.transport;
    await bench.publishAll(yard.transport, createMessages(30));
    await yard.buried(30);
    const before = comparable(await deadLetters.list(yard.group, 100));
    assert.equal(before.length, 30);
    for (let i = 0; i < 5; i++) {
      const pages = await Promise.all([0, 10, 20].map((offset) => deadLetters.list(yard.group, 10, offset)));
      assert.deepEqual(comparable(pages.flat()), before, `round ${i}`);
    }
    assert.equal(await deadLetters.count(yard.group), 30);
  }),

  transportCase('whatever is done to a listed dead letter, the next listing shows what was there', async (bench) => {
    const yard = await open(bench);
    await buryEach(bench, yard, [createMessage('untouched')]);
    const [letter] = await yard.transport.deadLetters.list(yard.group, 1);
    letter?.message.body.fill(0);
    const [again] = await yard.transport.deadLetters.list(yard.group, 1);
    assert.equal(Buffer.from(again?.message.body ?? []).toString(), 'untouched');
  }),

  transportCase('listing while dead letters arrive shows the first of them, and loses none', async (bench) => {
    const yard = await open(bench);
    const all = createMessages(40);
    const topics = all.map(({ topic }) => topic);
    let isOver = false;
    const arriving = buryEach(bench, yard, all).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const seen = await yard.topics(100);
      assert.deepEqual(seen, topics.slice(0, seen.length));
      await quiet(1); // in memory, listing alone would leave nobody else a turn
    }
    await arriving;
    assert.deepEqual(await yard.topics(100), topics);
  }),

  transportCase('a replay tells after each dead letter how many are done, of how many', async (bench) => {
    const yard = await open(bench, bench.shared(), (_, index) => index < 3);
    await bench.publishAll(yard.transport, createMessages(3));
    await yard.buried(3);
    const told: (readonly number[])[] = [];
    const onProgress = (replayed: number, total: number): void => void told.push([replayed, total]);
    assert.equal(await yard.transport.deadLetters.replay(yard.group, { limit: 2, onProgress }), 2);
    assert.equal(await yard.transport.deadLetters.replay(yard.group, { onProgress }), 1);
    assert.deepEqual(told, [
      [1, 2],
      [2, 2],
      [1, 1],
    ]);
  }),

  transportCase('a replay that is stopped tells how many it did, and the others stay dead', async (bench) => {
    const COUNT = 700;
    const source = bench.shared('group', { prefetch: 200 });
    const yard = await open(bench, source, (_, index) => index < COUNT);
    const { deadLetters } = yard.transport;
    const all = createMessages(COUNT);
    await bench.publishAll(yard.transport, all);
    await yard.buried(COUNT);
    assert.equal(await deadLetters.replay(yard.group, { signal: AbortSignal.abort() }), 0);
    assert.equal(await deadLetters.count(yard.group), COUNT);
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const replayed = await deadLetters.replay(yard.group, { signal: stop.signal, onProgress });
    // what was on its way when it was stopped is replayed too
    assert.ok(replayed > 0 && replayed <= 200, `replayed ${replayed}`);
    assert.equal(await deadLetters.count(yard.group), COUNT - replayed);
    assert.equal(await deadLetters.replay(yard.group, {}), COUNT - replayed);
    await yard.deliveries.settle(2 * COUNT);
    assert.deepEqual(idsOf(yard.messages.slice(COUNT)), idsOf(all));
  }),

  transportCase('a replay of all takes none of those that fail again while it runs', async (bench) => {
    const yard = await open(bench);
    const all = createMessages(60);
    await bench.publishAll(yard.transport, all);
    await yard.buried(60);
    assert.equal(await yard.transport.deadLetters.replay(yard.group, {}), 60);
    await yard.deliveries.reach(120);
    await yard.buried(60);
    await quiet();
    assert.equal(yard.deliveries.length, 120);
    assert.deepEqual(idsOf(yard.messages.slice(60)), idsOf(all));
  }),

  transportCase('an event whose expiry has passed is replayed without it', async (bench) => {
    const yard = await open(bench, bench.shared(), (_, index) => index < 2);
    const [past, future] = [Date.now() - 1_000, Date.now() + 3_600_000];
    await buryEach(bench, yard, [
      createMessage('past', { expiresAt: past }),
      createMessage('future', { expiresAt: future }),
    ]);
    assert.equal(await yard.transport.deadLetters.replay(yard.group, {}), 2);
    await yard.deliveries.settle(4);
    const expiries = yard.messages.slice(2).map(({ topic, expiresAt }) => [topic, expiresAt]);
    assert.deepEqual(Object.fromEntries(expiries), { past: undefined, future });
  }),

  transportCase('what has no group to go back to stays dead, and the error says so', async (bench) => {
    const yard = await open(bench, bench.own());
    const { deadLetters } = yard.transport;
    await buryEach(bench, yard, [createMessage('private')]);
    await assert.rejects(deadLetters.replay(yard.group, {}), (error) => {
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /no queue to replay to.*private handlers/s);
      return true;
    });
    assert.deepEqual(await yard.topics(10), ['private']);
    assert.equal(await deadLetters.purge(yard.group), 1);
  }),
];
