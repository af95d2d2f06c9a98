import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { DeadLetterService, OnEvent, TopologyConflictError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, withLab } from '../support/lab.js';
import { byHand } from './harness/by-hand.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** Two handlers; the group of one is the name of a queue that may stand in the way. */
function listeners(seen: Log<unknown>, assert?: 'assert' | 'check' | 'skip'): readonly Type[] {
  @Injectable()
  class Orders {
    @OnEvent('orders.*', { rabbitmq: { ...(assert && { assert }) }, retry: { delaysMs: [20] } })
    on(payload: unknown): void {
      if (payload === 'fails') throw new Error('as asked');
      seen.add(['orders', payload]);
    }
  }
  @Injectable()
  class Bystander {
    @OnEvent('#')
    on(payload: unknown): void {
      seen.add(['bystander', payload]);
    }
  }
  return [Orders, Bystander];
}

const queueOf = (lab: Lab): string => `${lab.service}.Orders.on`;
const warnings = (lab: Lab): readonly string[] => lab.lines.filter((line) => !line.startsWith('log '));

/** The queue as a team without this library has made it: classic, without dead letters. */
function inTheWay(lab: Lab): Promise<unknown> {
  const queue = lab.willRemoveGroup(queueOf(lab));
  lab.willRemoveGroup(`${lab.service}.Bystander.on`);
  return byHand(RABBITMQ.url, (channel) => channel.assertQueue(queue, { durable: true }));
}

onRabbit('a queue that exists with other arguments', () => {
  it(
    'fails the start at once: the error names queue, argument, what is there and what was wanted',
    withLab(RABBITMQ.url, async (lab) => {
      await inTheWay(lab);
      const before = Date.now();
      const error = await lab.bootFails({ providers: [...listeners(new Log('events'))] });
      expect(Date.now() - before).toBeLessThan(2_000);
      expect(error).toBeInstanceOf(TopologyConflictError);
      expect(error).toMatchObject({
        code: 'TOPOLOGY_CONFLICT',
        retryable: false,
        entity: queueOf(lab),
        conflicts: [
          {
            kind: 'queue',
            entity: queueOf(lab),
            argument: expect.stringMatching(/^x-/),
            have: expect.stringMatching(/^(none|classic)$/),
            want: expect.any(String),
          },
        ],
      });
      expect(error.message).toContain(`Queue "${queueOf(lab)}" has x-`);
    }),
  );

  it(
    'in background mode leaves other handlers and publishes alone, and heals when it is removed',
    withLab(RABBITMQ.url, async (lab) => {
      await inTheWay(lab);
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({
        options: lab.options({ startup: { mode: 'background' } }),
        providers: [...listeners(seen)],
      });
      expect(await bus.publish('orders.created', 1)).toMatchObject({ state: 'confirmed', routed: true });
      expect(await seen.settle(1)).toEqual([['bystander', 1]]);
      await until('it is told', () => warnings(lab).some((line) => line.startsWith('error ')));
      expect(bus.status).toBe('degraded');
      expect(bus.describe()).toMatchObject({
        groups: expect.arrayContaining([expect.objectContaining({ name: queueOf(lab), state: 'recovering' })]),
      });
      const told = warnings(lab).length;
      await byHand(RABBITMQ.url, (channel) => channel.deleteQueue(queueOf(lab)));
      await until('it consumes', () => bus.status === 'up', 12_000);
      await bus.publish('orders.created', 2);
      await seen.reach(3);
      expect(seen.items).toContainEqual(['orders', 2]);
      expect(warnings(lab).length).toBe(told);
    }),
  );

  it(
    'replaced while it is consumed: others go on, publishes go on, warned once, healed when it is removed',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ providers: [...listeners(seen)] });
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.deleteQueue(queueOf(lab));
        await channel.assertQueue(queueOf(lab), { durable: true });
      });
      await until('it is lost', () => bus.status === 'degraded');
      await bus.publish('orders.created', 1);
      await seen.reach(1);
      await byHand(RABBITMQ.url, (channel) => channel.deleteQueue(queueOf(lab)));
      await until('it is back', () => bus.status === 'up');
      await bus.publish('orders.created', 2);
      await until('it is handled', () => seen.items.some((item) => String(item) === 'orders,2'));
      expect(warnings(lab).filter((line) => line.includes(queueOf(lab)))).toHaveLength(1);
    }),
  );

  it(
    'all that conflict are named in one error',
    withLab(RABBITMQ.url, async (lab) => {
      await inTheWay(lab);
      await byHand(RABBITMQ.url, (channel) => channel.assertQueue(`${lab.service}.Bystander.on`, { durable: true }));
      const error = await lab.bootFails({ providers: [...listeners(new Log('events'))] });
      expect((error as TopologyConflictError).conflicts.map(({ entity }) => entity).toSorted()).toEqual(
        [`${lab.service}.Bystander.on`, queueOf(lab)].toSorted(),
      );
    }),
  );

  it(
    "check: takes the queue as it is, and 'skip' does too; failed events still reach their dead letters",
    withLab(RABBITMQ.url, async (lab) => {
      await inTheWay(lab);
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.assertExchange(lab.exchange, 'topic');
        await channel.bindQueue(queueOf(lab), lab.exchange, 'orders.*');
        await channel.assertQueue(`${queueOf(lab)}.dlq`, { durable: true });
        await channel.assertQueue(`${queueOf(lab)}.retry.20`, {
          durable: true,
          arguments: { 'x-message-ttl': 20, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queueOf(lab) },
        });
      });
      for (const mode of ['check', 'skip'] as const) {
        const seen = new Log<unknown>('events');
        const { app, bus } = await lab.boot({ providers: [...listeners(seen, mode)] });
        const deadLetters = app.get(DeadLetterService);
        await bus.publish('orders.created', mode);
        await seen.reach(2);
        await bus.publish('orders.created', 'fails');
        await until('it is dead', async () => (await deadLetters.count(queueOf(lab))) === 1);
        expect(await deadLetters.list(queueOf(lab))).toMatchObject([{ reason: 'attempts-exhausted', attempts: 2 }]);
        await deadLetters.purge(queueOf(lab));
        expect(warnings(lab).filter((line) => line.includes('declared'))).toEqual([]);
        await app.close();
      }
    }),
  );

  it(
    "check: a queue that is missing fails the start, says so, and is not made; 'skip' waits for it",
    withLab(RABBITMQ.url, async (lab) => {
      const error = await lab.bootFails({ providers: [...listeners(new Log('events'), 'check')] });
      expect(error).toMatchObject({ conflicts: [{ kind: 'queue', entity: `${queueOf(lab)}.dlq` }] });
      expect(error.message).toMatch(/Queue ".*Orders\.on\.dlq" does not exist/);
      const seen = new Log<unknown>('events');
      lab.willRemoveGroup(queueOf(lab));
      const { bus } = await lab.boot({
        options: lab.options({ startup: { mode: 'background' } }),
        providers: [...listeners(seen, 'skip')],
      });
      await until('it is told', () => warnings(lab).some((line) => line.includes('cannot consume')));
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.assertQueue(queueOf(lab), { durable: true });
        await channel.bindQueue(queueOf(lab), lab.exchange, 'orders.*');
      });
      await until('it consumes', () => bus.status === 'up');
      await bus.publish('orders.created', 1);
      await seen.reach(2);
      expect(seen.items).toContainEqual(['orders', 1]);
    }),
  );
});

onRabbit('an exchange that exists with another type', () => {
  const fanout = (lab: Lab): Promise<unknown> =>
    byHand(RABBITMQ.url, (channel) => channel.assertExchange(lab.exchange, 'fanout'));

  it(
    'fails the start, naming both types',
    withLab(RABBITMQ.url, async (lab) => {
      await fanout(lab);
      const error = await lab.bootFails();
      expect(error).toMatchObject({
        conflicts: [{ kind: 'exchange', entity: lab.exchange, argument: 'type', have: 'fanout', want: 'topic' }],
      });
    }),
  );

  it(
    'in background mode rejects publishes at once with the same error, until it is removed',
    withLab(RABBITMQ.url, async (lab) => {
      await fanout(lab);
      const { bus } = await lab.boot({ options: lab.options({ startup: { mode: 'background' } }) });
      const waiting = bus.publish('orders.created', 1);
      await expect(waiting).rejects.toBeInstanceOf(TopologyConflictError);
      await expect(bus.publish('orders.created', 2)).rejects.toMatchObject({ code: 'TOPOLOGY_CONFLICT' });
      await byHand(RABBITMQ.url, (channel) => channel.deleteExchange(lab.exchange));
      await until('it publishes', async () =>
        bus.publish('orders.created', 3, { unroutable: 'ignore' }).then(
          () => true,
          () => false,
        ),
      );
    }),
  );
});
