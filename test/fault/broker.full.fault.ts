import 'reflect-metadata';
import { afterEach, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type EventBusModuleOptions, type EventBusService, OnEvent, PublishRejectedError } from '../../lib/index.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { Lab } from '../support/lab.js';
import { byHand, waitingIn } from './harness/by-hand.js';
import { groupOf, outcomeOf, range, warnings } from './harness/fake-broker.lab.js';
import { LedgerBook } from './harness/ledger-book.js';
import { OwnBroker } from './harness/own-broker.js';
import { Program } from './harness/program.js';
import { drainQueues } from './harness/queue-contents.js';
import { RETRY_MS as RETRY_OF_PROGRAMS_MS } from './programs/settings.js';

const LIMIT = 50;
const TIMEOUT_MS = 5_000;
const SLACK_MS = 1_000;
const RETRY_MS = 1_500;
/** Mostly that of rabbitmqctl, which is slow on a busy machine. */
const TEST_MS = 60_000;
const END_MS = 15_000;
/** In which a held copy has been tried a second time. */
const HELD_MS = 1_500;
/** The longest pause between two tries, a retry, and what a busy machine adds. */
const GOES_ON_MS = 15_000;
const own = new OwnBroker();

let policies: string[] = [];

async function limit(queue: string, definition: object): Promise<void> {
  await own.node.ctl(
    'set_policy',
    queue,
    `^${queue.replaceAll('.', '\\.')}$`,
    JSON.stringify(definition),
    '--apply-to',
    'queues',
  );
  if (!policies.includes(queue)) policies.push(queue);
}

async function mend(queue: string): Promise<void> {
  policies = policies.filter((policy) => policy !== queue);
  await own.node.ctl('clear_policy', queue);
}

/** Attempts of the handler, in order, by the number of the event. */
class Attempts {
  readonly of = new Map<number, number[]>();

  add(n: number, attempt: number): void {
    this.of.set(n, [...(this.of.get(n) ?? []), attempt]);
  }

  get all(): readonly (readonly number[])[] {
    return [...this.of.values()];
  }
}

/** Fails events below 0 at their first attempt, and those beyond 1 000 always. */
function listener(attempts: Attempts, retry: false | { readonly delaysMs: readonly number[] }): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*', { retry })
    on(n: number, { attempt }: { readonly attempt: number }): void {
      attempts.add(n, attempt);
      if (n > 1_000 || (n < 0 && attempt === 1)) throw new Error('as asked');
    }
  }
  return OrderListener;
}

const options = (over: EventBusModuleOptions = {}): EventBusModuleOptions => ({ transport: own.node.url(), ...over });
/** How often a copy could not be stored. */
const heldTimes = (): number => warnings(own.lab).filter((line) => line.includes('could not be stored')).length;

/** Publishes so many, ten at a time. */
async function publishMany(bus: EventBusService, numbers: readonly number[]) {
  const outcomes: (Awaited<ReturnType<typeof outcomeOf>> & { readonly n: number })[] = [];
  const waiting = [...numbers];
  const work = async (): Promise<void> => {
    for (let n = waiting.shift(); n !== undefined; n = waiting.shift()) {
      outcomes.push({ n, ...(await outcomeOf(bus.publish('orders.created', n, { timeoutMs: TIMEOUT_MS }))) });
    }
  };
  await Promise.all(range(10).map(work));
  expect(outcomes).toHaveLength(numbers.length);
  for (const { ms } of outcomes) expect(ms).toBeLessThanOrEqual(TIMEOUT_MS + SLACK_MS);
  return {
    stored: outcomes.filter(({ error }) => !error).map(({ n }) => n),
    refused: outcomes.flatMap(({ n, error }) => (error ? [{ n, error }] : [])),
  };
}

own.suite('full or unusable', () => {
  afterEach(async () => {
    for (const policy of policies) await mend(policy);
  }, TEST_MS);

  it(
    "a group's queue is full: what is beyond it is refused, as many are stored as were confirmed",
    async () => {
      const attempts = new Attempts();
      const group = groupOf(own.lab);
      const { app, bus } = await own.lab.boot({
        options: options({ consume: { enabled: false } }),
        providers: [listener(attempts, false)],
      });
      await limit(group, { 'max-length': LIMIT });
      const { stored, refused } = await publishMany(bus, range(300));
      expect(stored.length).toBeGreaterThanOrEqual(LIMIT);
      expect(refused.length).toBeGreaterThan(0);
      for (const { error } of refused) {
        expect(error).toBeInstanceOf(PublishRejectedError);
        expect(error).toMatchObject({ code: 'NACKED', retryable: true });
      }
      expect(await waitingIn(own.node.url(), group)).toBe(stored.length);
      // full it stays, and the bus is well
      expect((await publishMany(bus, [998])).refused).toHaveLength(1);
      expect(bus.status).toBe('up');
      await app.close();

      const consuming = await own.lab.boot({ options: options(), providers: [listener(attempts, false)] });
      await until('all are handled', () => attempts.of.size === stored.length);
      await until('it takes more', async () => (await publishMany(consuming.bus, [999])).stored.length === 1);
      await until('that is handled', () => attempts.of.has(999));
      await mend(group);
      const more = await publishMany(
        consuming.bus,
        range(100).map((n) => 300 + n),
      );
      expect(more.refused).toEqual([]);
      await until('those are handled', () => attempts.of.size === stored.length + 1 + more.stored.length);
      expect(new Set(attempts.of.keys())).toEqual(new Set([...stored, 999, ...more.stored]));
      expect(attempts.all.flat()).toEqual(Array(attempts.of.size).fill(1));
      await assertEmpty(consuming, group);
    },
    TEST_MS,
  );

  it(
    'a retry queue exists with other arguments: the delivery is held, others go on, it goes on when it is removed',
    async () => {
      const attempts = new Attempts();
      const group = groupOf(own.lab);
      const retryQueue = `${group}.retry.${RETRY_MS}`;
      const booted = await own.lab.boot({
        options: options(),
        providers: [listener(attempts, { delaysMs: [RETRY_MS] })],
      });
      await byHand(own.node.url(), (channel) => channel.assertQueue(retryQueue, { durable: true }));
      await publishMany(booted.bus, [-1, -2]);
      await until('they are held', () => heldTimes() > 0);
      expect(warnings(own.lab).join('\n')).toContain(retryQueue);
      await publishMany(booted.bus, range(20));
      await until('others go on', () => attempts.of.size === 22);
      await quiet(HELD_MS);
      expect([attempts.of.get(-1), attempts.of.get(-2)]).toEqual([[1], [1]]);
      expect(await waitingIn(own.node.url(), retryQueue)).toBe(0);

      await byHand(own.node.url(), (channel) => channel.deleteQueue(retryQueue));
      await until('it goes on', () => [-1, -2].every((n) => attempts.of.get(n)?.length === 2), GOES_ON_MS);
      expect([attempts.of.get(-1), attempts.of.get(-2)]).toEqual([
        [1, 2],
        [1, 2],
      ]);
      await assertEmpty(booted, group, [RETRY_MS]);
    },
    TEST_MS,
  );

  it(
    'many deliveries are held at once: Node has nothing to warn of',
    async () => {
      const book = new LedgerBook();
      const group = `${own.lab.service}.work`;
      const retryQueue = `${group}.retry.${RETRY_OF_PROGRAMS_MS}`;
      const [prefetch, concurrency, handlerMs, failOneOf] = [20, 20, 0, 1];
      const more = { url: own.node.url(), exchange: own.lab.exchange, group, ledger: book.open('worker') };
      const worker = Program.start('worker', { ...more, prefetch, concurrency, handlerMs, failOneOf });
      try {
        await worker.ready;
        const isHeld = worker.listensFor('could not be stored');
        await byHand(own.node.url(), (channel) => channel.assertQueue(retryQueue, { durable: true }));
        const { bus } = await own.lab.boot({ options: options({ publish: { unroutable: 'reject' } }) });
        const ids = range(prefetch).map((n) => `work-${n}`);
        await Promise.all(ids.map((id, n) => bus.publish('work.do', { id, n }, { id })));
        await until('all have failed', () => book.read().thrown === ids.length);
        await until('they are held', isHeld);
        await byHand(own.node.url(), (channel) => channel.deleteQueue(retryQueue));
        await until('they go on', () => book.read().handled.size === ids.length, GOES_ON_MS);
        expect(book.handlings).toBe(ids.length);
        expect(book.warnings).toEqual([]);
      } finally {
        await worker.terminate(END_MS);
        book.dispose();
      }
    },
    TEST_MS,
  );

  it(
    'a retry queue is full: the deliveries are held, and go on when there is room',
    async () => {
      const attempts = new Attempts();
      const group = groupOf(own.lab);
      const retryQueue = `${group}.retry.${RETRY_MS}`;
      const booted = await own.lab.boot({
        options: options(),
        providers: [listener(attempts, { delaysMs: [RETRY_MS] })],
      });
      const numbers = range(8).map((n) => -1 - n);
      await limit(retryQueue, { 'max-length': 0 });
      // the limit of a quorum queue acts from behind: it takes what makes it full
      await publishMany(booted.bus, numbers.slice(0, 1));
      const isFull = (): Promise<boolean> =>
        waitingIn(own.node.url(), retryQueue).then(
          (count) => count > 0,
          () => false,
        );
      await until('it is declared, and full', isFull);
      await publishMany(booted.bus, numbers.slice(1));
      await until('they are held', () => heldTimes() > 0);
      await limit(retryQueue, { 'max-length': 10_000 });
      await until('they go on', () => numbers.every((n) => attempts.of.get(n)?.length === 2), GOES_ON_MS);
      expect(attempts.all).toEqual(numbers.map(() => [1, 2]));
      await assertEmpty(booted, group, [RETRY_MS]);
    },
    TEST_MS,
  );

  it.each([
    ['raised', (queue: string) => limit(queue, { 'max-length': 10_000, overflow: 'reject-publish' })],
    // a channel that was refused by a queue is refused until that queue tells it otherwise, which it now has no reason to
    ['removed', mend],
  ])(
    'the dead letters are full: the deliveries are held, and are dead when the limit is %s',
    async (_, makeRoom) => {
      const attempts = new Attempts();
      const group = groupOf(own.lab);
      const booted = await own.lab.boot({ options: options(), providers: [listener(attempts, false)] });
      await limit(`${group}.dlq`, { 'max-length': 1, overflow: 'reject-publish' });
      const numbers: number[] = [];
      const more = async (): Promise<void> => {
        numbers.push(1_001 + numbers.length);
        await publishMany(booted.bus, numbers.slice(-1));
        await until('it was handled', () => attempts.of.size === numbers.length);
      };
      const isDeadOrHeld = async (): Promise<boolean> =>
        heldTimes() > 0 || (await booted.deadLetters.count(group)) === numbers.length;
      while (heldTimes() === 0) {
        await more();
        await until('it is dead or held', isDeadOrHeld);
      }
      const full = numbers.length - 1;
      expect(full).toBeGreaterThan(0);
      for (let i = 0; i < 3; i++) await more();
      await quiet(HELD_MS);
      expect(await waitingIn(own.node.url(), `${group}.dlq`)).toBe(full);
      expect(attempts.all).toEqual(numbers.map(() => [1]));

      await makeRoom(`${group}.dlq`);
      const count = (): Promise<number> => booted.deadLetters.count(group);
      await until('all are dead', async () => (await count()) === numbers.length, GOES_ON_MS);
      const letters = await booted.deadLetters.list(group);
      expect(letters).toHaveLength(numbers.length);
      expect(new Set(letters.map(({ payload }) => payload))).toEqual(new Set(numbers));
      expect(letters).toMatchObject(numbers.map(() => ({ reason: 'attempts-exhausted', attempts: 1 })));
      expect(attempts.all).toEqual(numbers.map(() => [1]));
      await booted.deadLetters.purge(group);
      await assertEmpty(booted, group);
    },
    TEST_MS,
  );

  it(
    'the queue of the dead letters has been deleted: declared again before the copy',
    async () => {
      const attempts = new Attempts();
      const group = groupOf(own.lab);
      const booted = await own.lab.boot({ options: options(), providers: [listener(attempts, false)] });
      for (const n of [1_001, 1_002]) {
        await byHand(own.node.url(), async (channel) => {
          await channel.checkQueue(`${group}.dlq`);
          await channel.deleteQueue(`${group}.dlq`);
        });
        await publishMany(booted.bus, [n]);
        await until('it is dead', async () => (await booted.deadLetters.count(group)) === 1);
        expect(await booted.deadLetters.list(group)).toMatchObject([{ payload: n, attempts: 1 }]);
      }
      await booted.deadLetters.purge(group);
      await assertEmpty(booted, group);
    },
    TEST_MS,
  );
});

/** Nothing is in work, nothing is left with the broker. */
async function assertEmpty(
  { app, bus }: Awaited<ReturnType<Lab['boot']>>,
  group: string,
  retryDelaysMs: readonly number[] = [],
): Promise<void> {
  await until('nothing is in work', () => bus.stats().groups[group]?.running === 0);
  await app.close();
  const { left, dead } = await drainQueues(own.node.url(), group, retryDelaysMs);
  expect({ left: left.size, dead: dead.size }).toEqual({ left: 0, dead: 0 });
}
