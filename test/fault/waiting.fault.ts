import 'reflect-metadata';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type EventBusModuleOptions, type EventContext, OnEvent } from '../../lib/index.js';
import { quiet, until } from '../../lib/testing/contract/until.js';
import type { LabApp } from '../support/lab.js';
import { byHand, waitingIn } from './harness/by-hand.js';
import { range } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';
import { drainQueues } from './harness/queue-contents.js';
import { RabbitMqNode } from './harness/rabbitmq-node.js';

/** Long enough to fill a queue meanwhile. */
const RETRY_MS = 4_000;
/** After so long RabbitMQ moves again what could not be dead-lettered; it takes 3 minutes where nobody says otherwise. */
const AGAIN_MS = 2_000;
const DELIVERY_LIMIT = 20;
const LIMIT = 5;
/** Mostly that of rabbitmqctl, which is slow on a busy machine. */
const TEST_MS = 60_000;
const MOVED_MS = 20_000;
const own = new OwnBroker(() =>
  RabbitMqNode.start({ advanced: [`{dead_letter_worker_publisher_confirm_timeout, ${AGAIN_MS}}`] }),
);

let attempts: Map<number, number[]>;
let limited: string[];

const groupName = (): string => `${own.lab.service}.work`;
const retryQueue = (): string => `${groupName()}.retry.${RETRY_MS}`;

/** Fails events below 0 at their first attempt. */
function listener(): Type {
  @Injectable()
  class WorkListener {
    @OnEvent('work.*', { group: groupName(), retry: { delaysMs: [RETRY_MS] } })
    on(n: number, { attempt }: EventContext): void {
      attempts.set(n, [...(attempts.get(n) ?? []), attempt]);
      if (n < 0 && attempt === 1) throw new Error('as asked');
    }
  }
  return WorkListener;
}

function boot(consume: NonNullable<EventBusModuleOptions['consume']> = {}): Promise<LabApp> {
  const options = { transport: own.node.url(), publish: { unroutable: 'reject' }, consume } as const;
  return own.lab.boot({ options, providers: [listener()] });
}

async function limit(queue: string, length = LIMIT): Promise<void> {
  if (!limited.includes(queue)) limited.push(queue);
  const definition = JSON.stringify({ 'max-length': length, overflow: 'reject-publish' });
  await own.node.ctl('set_policy', queue, `^${queue.replaceAll('.', '\\.')}$`, definition, '--apply-to', 'queues');
}

async function mend(queue: string): Promise<void> {
  limited = limited.filter((other) => other !== queue);
  await own.node.ctl('clear_policy', queue);
}

const remove = (queue: string): Promise<unknown> => byHand(own.node.url(), (channel) => channel.deleteQueue(queue));

/** Gives the next message back so often that the broker dead-letters it by its own count. */
function exhaust(): Promise<void> {
  return byHand(own.node.url(), async (channel) => {
    for (let returns = 0; returns <= DELIVERY_LIMIT; returns++) {
      let message = await channel.get(groupName());
      while (message === false) message = await channel.get(groupName());
      channel.nack(message);
    }
  });
}

/** Has one event wait for its second attempt, in nobody's hands. */
async function leaveWaiting(before: () => Promise<void> = async () => undefined): Promise<void> {
  const { app, bus } = await boot();
  await before();
  await bus.publish('work.do', -1);
  await until('it has failed', () => attempts.get(-1)?.length === 1);
  await app.close();
}

async function assertEmpty({ app }: LabApp): Promise<void> {
  await app.close();
  const { left, dead } = await drainQueues(own.node.url(), groupName(), [RETRY_MS]);
  expect({ left: left.size, dead: dead.size }).toEqual({ left: 0, dead: 0 });
}

own.suite('what waits in a retry queue, or is dead for the broker', () => {
  beforeEach(() => {
    attempts = new Map();
    limited = [];
  });

  afterEach(async () => {
    for (const queue of limited) await mend(queue);
  }, TEST_MS);

  it(
    'a retry queue has been deleted: declared again before the copy',
    async () => {
      const booted = await boot();
      for (const n of [-1, -2]) {
        await booted.bus.publish('work.do', n);
        await until('it is handled', () => attempts.get(n)?.length === 2);
        if (n === -1) await remove(retryQueue());
      }
      expect([...attempts.values()]).toEqual([
        [1, 2],
        [1, 2],
      ]);
      await assertEmpty(booted);
    },
    TEST_MS,
  );

  it(
    "a retry is due and its group's queue is full: it waits until there is room",
    async () => {
      await leaveWaiting(() => limit(groupName()));
      const { app, bus } = await boot({ enabled: false });
      let stored = 0;
      let refusal: unknown;
      const isRefused = async (): Promise<boolean> => {
        try {
          await bus.publish('work.do', stored);
          stored++;
          return false;
        } catch (error) {
          refusal = error;
          return true;
        }
      };
      await until('it is full', isRefused, MOVED_MS);
      expect(refusal).toMatchObject({ code: 'NACKED' });
      await quiet(RETRY_MS + AGAIN_MS);
      expect(await waitingIn(own.node.url(), groupName())).toBe(stored);
      // it is due, so nobody can see it where it waits
      expect(await waitingIn(own.node.url(), retryQueue())).toBe(0);
      await app.close();

      const booted = await boot();
      await until('all are handled', () => attempts.get(-1)?.length === 2 && attempts.size === stored + 1, MOVED_MS);
      expect(attempts.get(-1)).toEqual([1, 2]);
      for (const n of range(stored)) expect(attempts.get(n)).toEqual([1]);
      await assertEmpty(booted);
    },
    TEST_MS,
  );

  it(
    "a retry is due and its group's queue has been deleted: it waits until that is there again",
    async () => {
      await leaveWaiting();
      await remove(groupName());
      await quiet(RETRY_MS + AGAIN_MS);
      const booted = await boot();
      await until('it is handled', () => attempts.get(-1)?.length === 2, MOVED_MS);
      expect(attempts.get(-1)).toEqual([1, 2]);
      await assertEmpty(booted);
    },
    TEST_MS,
  );

  it(
    'the broker counts a message out and the dead letters are full: it is dead when there is room',
    async () => {
      const { bus, deadLetters } = await boot({ enabled: false });
      await limit(`${groupName()}.dlq`);
      const count = LIMIT + 3;
      for (const n of range(count)) {
        await bus.publish('work.do', n);
        await exhaust();
      }
      await quiet(AGAIN_MS);
      expect(await deadLetters.count(groupName())).toBeLessThan(count);
      await limit(`${groupName()}.dlq`, 1_000);
      await until('all are dead', async () => (await deadLetters.count(groupName())) === count, MOVED_MS);
      const letters = await deadLetters.list(groupName());
      expect(letters.map(({ payload }) => Number(payload)).toSorted((a, b) => a - b)).toEqual(range(count));
      expect(letters).toMatchObject(range(count).map(() => ({ reason: 'delivery-limit', topic: 'work.do' })));
      expect(attempts.size).toBe(0);
    },
    TEST_MS,
  );

  it(
    'the broker counts a message out and the queue of the dead letters is gone: it is dead when that is there again',
    async () => {
      const { app, bus } = await boot({ enabled: false });
      await remove(`${groupName()}.dlq`);
      await bus.publish('work.do', 1);
      await exhaust();
      await quiet(AGAIN_MS);
      await app.close();
      const { deadLetters } = await boot();
      await until('it is dead', async () => (await deadLetters.count(groupName())) === 1, MOVED_MS);
      const [letter] = await deadLetters.list(groupName());
      expect(letter).toMatchObject({ payload: 1, reason: 'delivery-limit', topic: 'work.do' });
      expect(attempts.size).toBe(0);
    },
    TEST_MS,
  );
});
