import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import type { Channel } from 'amqplib';
import { type EventContext, OnEvent, type OnEventOptions, TopologyConflictError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { byHand, waitingIn } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabParts, withLab } from '../support/lab.js';

type Queue = NonNullable<OnEventOptions['rabbitmq']>;
type Seen = readonly [payload: unknown, attempt: number, topic: string];

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

const queueOf = (lab: Lab): string => `${lab.name}.legacy`;
const groupOf = (lab: Lab): string => `${lab.service}.Orders.on`;
/** Where the library's own retries wait for the adopted queue. */
const retryOf = (lab: Lab, delayMs = 20): string => `${groupOf(lab)}.retry.${delayMs}.to.${queueOf(lab)}`;
/** As many teams make them. */
const legacyArguments = (lab: Lab) => ({
  'x-dead-letter-exchange': '',
  'x-dead-letter-routing-key': `${queueOf(lab)}.dlq`,
});
const remote = <T>(work: (channel: Channel) => Promise<T>): Promise<T> => byHand(RABBITMQ.url, work);

/** A classic queue as it was before the library came, with its own dead-letter queue. */
async function makeLegacy(lab: Lab): Promise<string> {
  const queue = lab.willRemoveGroup(queueOf(lab));
  lab.willRemoveGroup(retryOf(lab));
  lab.willRemoveGroup(groupOf(lab));
  await remote(async (channel) => {
    await channel.assertQueue(`${queue}.dlq`, { durable: true });
    await channel.assertQueue(queue, { durable: true, arguments: legacyArguments(lab) });
  });
  return queue;
}

/** What a plain client does: no id, no content type, by the default exchange. */
function send(queue: string, ...payloads: readonly unknown[]): Promise<void> {
  return remote(async (channel) => {
    for (const payload of payloads) channel.sendToQueue(queue, Buffer.from(JSON.stringify(payload)));
    await channel.checkQueue(queue); // the broker has worked them off when it answers
  });
}

/** Payloads named `fails` fail every time, `once` the first time. */
function consumer(lab: Lab, seen: Log<Seen>, rabbitmq: Queue | undefined, over: OnEventOptions = {}): Type {
  @Injectable()
  class Orders {
    @OnEvent([queueOf(lab), 'orders.*'], { ...(rabbitmq && { rabbitmq }), retry: { delaysMs: [20] }, ...over })
    on(payload: unknown, { attempt, topic }: EventContext): void {
      seen.add([payload, attempt, topic]);
      if (payload === 'fails' || (payload === 'once' && attempt === 1)) throw new Error('as asked');
    }
  }
  return Orders;
}

const adopting = (lab: Lab, over: Queue = {}): Queue => ({
  queue: queueOf(lab),
  queueType: 'classic',
  arguments: legacyArguments(lab),
  ...over,
});

const exists = (queue: string): Promise<boolean> =>
  remote((channel) =>
    channel.checkQueue(queue).then(
      () => true,
      (error: { readonly code?: number }) => {
        if (error.code !== 404) throw error;
        return false;
      },
    ),
  );

onRabbit('a queue that was there before', () => {
  it.each<[string, Queue]>([
    ['asserted as it is', {}],
    ['only checked', { assert: 'check' }],
    ['trusted', { assert: 'skip' }],
  ])('%s: what waits in it and what comes is handled; there is no queue of the name of the group', (_, over) =>
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      await send(queue, 1, 2, 3);
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({ providers: [consumer(lab, seen, adopting(lab, over))] });
      await seen.reach(3);
      await send(queue, 4);
      expect(await seen.settle(4)).toEqual([1, 2, 3, 4].map((payload) => [payload, 1, queue]));
      expect(bus.status).toBe('up');
      expect(await exists(groupOf(lab))).toBe(false);
      expect(lab.lines.filter((line) => !line.startsWith('log '))).toEqual([]);
    })(),
  );

  it(
    'retries come back to it; dead letters are listed, counted and replayed under the name of the group',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      await send(queue, 'once', 'fails');
      const seen = new Log<Seen>('events');
      const { deadLetters } = await lab.boot({ providers: [consumer(lab, seen, adopting(lab))] });
      await until('one is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      expect(seen.items.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
        ['fails', 1, queue],
        ['fails', 2, queue],
        ['once', 1, queue],
        ['once', 2, queue],
      ]);
      expect(await exists(`${groupOf(lab)}.retry.20`)).toBe(false);
      expect(await deadLetters.list(groupOf(lab))).toMatchObject([
        { payload: 'fails', reason: 'attempts-exhausted', attempts: 2, topic: queue },
      ]);
      expect(await deadLetters.replay(groupOf(lab))).toBe(1);
      await until('it is dead again', async () => (await deadLetters.count(groupOf(lab))) === 1);
      expect(seen.items.slice(4)).toEqual([
        ['fails', 1, queue],
        ['fails', 2, queue],
      ]);
      // the library leaves the dead-letter queue that was there alone
      expect(await waitingIn(RABBITMQ.url, `${queue}.dlq`)).toBe(0);
    }),
  );

  it(
    'dead letters are replayed to it by a process that does not consume it',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      await send(queue, 'fails');
      const first = await lab.boot({ providers: [consumer(lab, new Log('events'), adopting(lab))] });
      await until('one is dead', async () => (await first.deadLetters.count(groupOf(lab))) === 1);
      await first.app.close();
      const { deadLetters } = await lab.boot({
        options: { consume: { enabled: false } },
        providers: [consumer(lab, new Log('events'), adopting(lab))],
      });
      expect(await deadLetters.replay(groupOf(lab))).toBe(1);
      expect(await waitingIn(RABBITMQ.url, queue)).toBe(1);
    }),
  );

  it(
    'shared with the consumer that was there: each message is handled by one of them, none is lost',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      const theirs = new Log<unknown>('messages of the old consumer');
      const ours = new Log<Seen>('events');
      await remote(async (channel) => {
        await channel.prefetch(5);
        const { consumerTag } = await channel.consume(queue, (message) => {
          if (!message) return;
          theirs.add(JSON.parse(message.content.toString()));
          channel.ack(message);
        });
        await send(queue, ...Array.from({ length: 50 }, (_, i) => i));
        await theirs.reach(50);
        await lab.boot({ providers: [consumer(lab, ours, adopting(lab))] });
        await send(queue, ...Array.from({ length: 200 }, (_, i) => 100 + i));
        await until('all are handled', () => theirs.length + ours.length === 250);
        expect(Math.min(theirs.length - 50, ours.length)).toBeGreaterThan(0);
        await channel.cancel(consumerTag);
        await send(queue, ...Array.from({ length: 50 }, (_, i) => 900 + i));
        await until('the rest is handled', () => theirs.length + ours.length === 300);
      });
      const all = new Set([...theirs.items, ...ours.items.map(([payload]) => payload)]);
      expect(all.size).toBe(300);
    }),
  );

  it(
    'a message whose topic no pattern of its handlers names is unmatched, and dead when that policy ends',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      const seen = new Log<Seen>('events');
      const { deadLetters } = await lab.boot({
        options: { consume: { unmatched: false } },
        providers: [consumer(lab, seen, adopting(lab))],
      });
      await remote(async (channel) => {
        await channel.bindQueue(queue, lab.exchange, 'users.*');
        channel.publish(lab.exchange, 'users.created', Buffer.from('1'));
        await until('it is dead', async () => (await deadLetters.count(groupOf(lab))) === 1);
      });
      expect(await deadLetters.list(groupOf(lab))).toMatchObject([{ reason: 'unmatched', topic: 'users.created' }]);
      expect(seen.items).toEqual([]);
    }),
  );
});

onRabbit('whether an adopted queue is declared and bound', () => {
  it.each<[Queue['assert'], boolean | undefined, boolean]>([
    ['assert', undefined, true],
    ['assert', false, false],
    ['check', undefined, false],
    ['check', true, true],
    ['skip', undefined, false],
    ['skip', true, true],
    [undefined, undefined, true],
  ])('assert: %s, bind: %s: an event of the exchange comes to it: %s', (assert, bind, isBound) =>
    withLab(RABBITMQ.url, async (lab) => {
      await makeLegacy(lab);
      const seen = new Log<Seen>('events');
      const rabbitmq = adopting(lab, { ...(assert && { assert }), ...(bind !== undefined && { bind }) });
      const { bus } = await lab.boot({ providers: [consumer(lab, seen, rabbitmq)] });
      expect(await bus.publish('orders.created', 1, { unroutable: 'ignore' })).toMatchObject({ routed: isBound });
      expect(await seen.settle(isBound ? 1 : 0)).toEqual(isBound ? [[1, 1, 'orders.created']] : []);
    })(),
  );

  it.each<[string, (lab: Lab) => Queue, object]>([
    [
      'another argument',
      (lab) => adopting(lab, { arguments: { ...legacyArguments(lab), 'x-max-length': 10 } }),
      { argument: 'x-max-length', want: '10', have: 'none' },
    ],
    [
      'one argument too few',
      (lab) => adopting(lab, { arguments: {} }),
      { argument: 'x-dead-letter-exchange', want: 'none', have: '' },
    ],
    [
      'no queueType, which is a quorum queue,',
      (lab) => ({ queue: queueOf(lab) }),
      { argument: expect.stringMatching(/^x-/), have: expect.any(String), want: expect.any(String) },
    ],
  ])('%s is a conflict that names the argument, and the start fails', (_, rabbitmq, conflict) =>
    withLab(RABBITMQ.url, async (lab) => {
      await makeLegacy(lab);
      const error = await lab.bootFails({
        providers: [consumer(lab, new Log('events'), rabbitmq(lab))],
      });
      expect(error).toBeInstanceOf(TopologyConflictError);
      expect(error).toMatchObject({ conflicts: [{ kind: 'queue', entity: queueOf(lab), ...conflict }] });
    })(),
  );

  it(
    'check: a queue that is missing fails the start and is not made',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = lab.willRemoveGroup(queueOf(lab));
      lab.willRemoveGroup(groupOf(lab));
      const error = await lab.bootFails({
        providers: [consumer(lab, new Log('events'), adopting(lab, { assert: 'check' }))],
      });
      expect(error).toMatchObject({ code: 'TOPOLOGY_CONFLICT', conflicts: [{ kind: 'queue', entity: queue }] });
      expect(await exists(queue)).toBe(false);
    }),
  );

  it(
    'assert makes a queue that is missing: classic with exactly the arguments given, quorum with the others too',
    withLab(RABBITMQ.url, async (lab) => {
      const own = { 'x-max-length': 100, 'x-delivery-limit': 7 };
      const names = { classic: `${lab.name}.classic`, quorum: `${lab.name}.quorum` } as const;
      for (const name of Object.values(names)) lab.willRemoveGroup(name);
      @Injectable()
      class Two {
        @OnEvent('a', {
          rabbitmq: { queue: names.classic, queueType: 'classic', arguments: { 'x-max-length': 100 } },
        })
        classic(): void {}
        @OnEvent('b', { rabbitmq: { queue: names.quorum, arguments: own } })
        quorum(): void {}
      }
      await lab.boot({ providers: [Two] });
      const quorum = {
        'x-queue-type': 'quorum',
        'x-overflow': 'reject-publish',
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': `${lab.service}.Two.quorum.dlq`,
        'x-dead-letter-strategy': 'at-least-once',
        ...own,
      };
      const again = (queue: string, args: object): Promise<unknown> =>
        remote((channel) => channel.assertQueue(queue, { durable: true, arguments: args }));
      // a declaration that differs in anything is refused
      await expect(again(names.classic, { 'x-max-length': 100 })).resolves.toMatchObject({ queue: names.classic });
      await expect(again(names.quorum, quorum)).resolves.toMatchObject({ queue: names.quorum });
    }),
  );

  it.each<[Queue['assert']]>([['assert'], ['skip']])(
    '%s concerns that queue alone: where the transport only checks, its dead-letter queue must be there',
    (assert) =>
      withLab(RABBITMQ.url, async (lab) => {
        await makeLegacy(lab);
        await remote(async (channel) => {
          for (const end of ['', '.broadcast']) await channel.assertExchange(`${lab.exchange}${end}`, 'topic');
        });
        const error = await lab.bootFails({
          options: { transport: { type: 'rabbitmq', url: RABBITMQ.url, assert: 'check' } },
          providers: [consumer(lab, new Log('events'), adopting(lab, { ...(assert && { assert }) }))],
        });
        expect(error).toMatchObject({ conflicts: [{ kind: 'queue', entity: `${groupOf(lab)}.dlq` }] });
      })(),
  );

  it.each<[string, (lab: Lab) => LabParts, RegExp]>([
    [
      'its own dead-letter queue',
      (lab) => ({ providers: [consumer(lab, new Log('events'), { queue: `${groupOf(lab)}.dlq` })] }),
      /cannot consume ".*\.Orders\.on\.dlq"/,
    ],
    [
      'one of its own retry queues',
      (lab) => ({ providers: [consumer(lab, new Log('events'), { queue: `${groupOf(lab)}.retry.20` })] }),
      /cannot consume ".*\.Orders\.on\.retry\.20"/,
    ],
    [
      'a queue with a name that leaves no room',
      (lab) => ({ providers: [consumer(lab, new Log('events'), { queue: 'q'.repeat(230) })] }),
      /Choose a shorter group/,
    ],
    [
      'a queue of two types',
      (lab) => ({
        providers: [consumer(lab, new Log('events'), { queue: 'q', arguments: { 'x-queue-type': 'stream' } })],
      }),
      /x-queue-type "stream", but its queueType is 'quorum'/,
    ],
  ])('a group cannot have %s for its queue', (_, partsOf, text) =>
    withLab(RABBITMQ.url, async (lab) => {
      const error = await lab.bootFails(partsOf(lab));
      expect(error).toMatchObject({ code: 'CONFIGURATION' });
      expect(error.message).toMatch(text);
    })(),
  );
});

onRabbit('from an adopted queue to one of its own', () => {
  it(
    'no declaration is refused, no retry is lost: what waits goes back to the old queue when it is due',
    withLab(RABBITMQ.url, async (lab) => {
      const delayMs = 1_500;
      const queue = await makeLegacy(lab);
      lab.willRemoveGroup(retryOf(lab, delayMs));
      lab.willRemoveGroup(`${groupOf(lab)}.retry.${delayMs}`);
      const over = { retry: { delaysMs: [delayMs] } };
      await send(queue, 'once');
      const before = new Log<Seen>('events before the move');
      const first = await lab.boot({ providers: [consumer(lab, before, adopting(lab), over)] });
      await until('it waits', async () => (await exists(retryOf(lab, delayMs))) && before.length === 1);
      await first.app.close();

      const after = new Log<Seen>('events after the move');
      const second = await lab.boot({ providers: [consumer(lab, after, undefined, over)] });
      await second.bus.publish('orders.created', 'once');
      await after.reach(2);
      expect(after.items).toEqual([
        ['once', 1, 'orders.created'],
        ['once', 2, 'orders.created'],
      ]);
      // the old queue is still bound, so it got the new event too
      await until('both are in the old queue', async () => (await waitingIn(RABBITMQ.url, queue)) === 2);
      await second.app.close();

      const back = new Log<Seen>('events after the way back');
      await lab.boot({ providers: [consumer(lab, back, adopting(lab), over)] });
      await back.reach(3);
      expect(back.items).toContainEqual(['once', 2, queue]);
    }),
  );

  it(
    'with renamedFrom: the old queue is unbound, and what waits in it and for its retry is handled',
    withLab(RABBITMQ.url, async (lab) => {
      const delayMs = 1_500;
      const queue = await makeLegacy(lab);
      lab.willRemoveGroup(retryOf(lab, delayMs));
      lab.willRemoveGroup(`${groupOf(lab)}.retry.${delayMs}`);
      const over = { retry: { delaysMs: [delayMs] } };
      await send(queue, 'once');
      const before = new Log<Seen>('events before the move');
      const first = await lab.boot({ providers: [consumer(lab, before, adopting(lab), over)] });
      await until('it waits', async () => (await exists(retryOf(lab, delayMs))) && before.length === 1);
      await first.app.close();
      await send(queue, 'waits');

      const after = new Log<Seen>('events after the move');
      const { bus } = await lab.boot({ providers: [consumer(lab, after, undefined, { ...over, renamedFrom: queue })] });
      await after.reach(2);
      await bus.publish('orders.created', 'new');
      await after.settle(3);
      // which of the first two comes first is a matter of time
      expect(after.items).toContainEqual(['waits', 1, queue]);
      expect(after.items).toContainEqual(['once', 2, queue]);
      expect(after.items[2]).toEqual(['new', 1, 'orders.created']);
    }),
  );

  it(
    'with renamedFrom: an idempotent handler recognizes an event that is in both queues',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = await makeLegacy(lab);
      await remote(async (channel) => {
        channel.sendToQueue(queue, Buffer.from('1'), { messageId: 'same' });
        await channel.checkQueue(queue);
      });
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({
        providers: [consumer(lab, seen, undefined, { renamedFrom: queue, idempotent: true })],
      });
      await seen.reach(1);
      await bus.publish('orders.created', 1, { id: 'same' });
      await until('it is recognized', () => bus.stats().groups[groupOf(lab)]?.duplicates === 1);
      expect(await seen.settle(1)).toEqual([[1, 1, queue]]);
    }),
  );
});

describe('in memory', () => {
  it(
    'what stands under rabbitmq has no effect',
    withLab('memory:', async (lab) => {
      const seen = new Log<Seen>('events');
      const { bus } = await lab.boot({ providers: [consumer(lab, seen, adopting(lab, { assert: 'check' }))] });
      await bus.publish('orders.created', 1);
      expect(await seen.settle(1)).toEqual([[1, 1, 'orders.created']]);
    }),
  );
});
