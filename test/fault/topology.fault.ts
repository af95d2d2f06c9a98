import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import type { Channel } from 'amqplib';
import { DeadLetterService, OnEvent, type RabbitMqTransportOptions, TopologyConflictError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabParts, withLab } from '../support/lab.js';
import { byHand } from './harness/by-hand.js';

type Mode = NonNullable<RabbitMqTransportOptions['assert']>;
/** Where it is said. */
type Level = 'handler' | 'transport';

const LEVELS: readonly Level[] = ['handler', 'transport'];
const ALL: readonly (readonly [Mode, Level])[] = LEVELS.flatMap((level) => [
  ['check', level],
  ['skip', level],
]);
/** Much longer than any of these starts may take to fail. */
const STARTUP_MS = 20_000;
const REFUSED_MS = 2_000;

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;

/** Two handlers; the group of one is the name of a queue that may stand in the way. */
function listeners(seen: Log<unknown>, assert?: Mode): readonly Type[] {
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

/** The options of a bus whose transport has this mode. */
const transportIn = (assert: Mode) => ({
  transport: { type: 'rabbitmq', url: RABBITMQ.url, assert } satisfies RabbitMqTransportOptions,
});

/** Both handlers; of the mode of the first alone, or of the whole bus. */
function inMode(level: Level, mode: Mode, seen: Log<unknown>): LabParts {
  if (level === 'handler') return { providers: [...listeners(seen, mode)] };
  return { options: transportIn(mode), providers: [...listeners(seen)] };
}

const queueOf = (lab: Lab): string => `${lab.service}.Orders.on`;
const bystanderOf = (lab: Lab): string => `${lab.service}.Bystander.on`;
const warnings = (lab: Lab): readonly string[] => lab.lines.filter((line) => !line.startsWith('log '));

/** The queue as a team without this library has made it: classic, without dead letters. */
function inTheWay(lab: Lab): Promise<unknown> {
  const queue = lab.willRemoveGroup(queueOf(lab));
  lab.willRemoveGroup(bystanderOf(lab));
  return byHand(RABBITMQ.url, (channel) => channel.assertQueue(queue, { durable: true }));
}

/** Exchanges as this library makes them. */
async function makeExchanges(lab: Lab): Promise<void> {
  await byHand(RABBITMQ.url, async (channel) => {
    for (const exchange of [lab.exchange, `${lab.exchange}.broadcast`]) await channel.assertExchange(exchange, 'topic');
  });
}

/** A bound queue with all that belongs to it, each as a team without this library makes it. */
async function makeGroup(lab: Lab, group: string, pattern: string): Promise<void> {
  lab.willRemoveGroup(group);
  await byHand(RABBITMQ.url, async (channel) => {
    await channel.assertQueue(group, { durable: true });
    await channel.bindQueue(group, lab.exchange, pattern);
    await channel.assertQueue(`${group}.dlq`, { durable: true });
    await channel.assertQueue(`${group}.retry.20`, {
      durable: true,
      arguments: { 'x-message-ttl': 20, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': group },
    });
  });
}

const isMissing = (ask: (channel: Channel) => Promise<unknown>): Promise<boolean> =>
  byHand(RABBITMQ.url, async (channel) => {
    try {
      await ask(channel);
      return false;
    } catch (error) {
      expect(error).toMatchObject({ code: 404 });
      return true;
    }
  });

const isQueueMissing = (queue: string): Promise<boolean> => isMissing((channel) => channel.checkQueue(queue));
const isExchangeMissing = (name: string): Promise<boolean> => isMissing((channel) => channel.checkExchange(name));

/** At once, with the conflict, though there is much time left. */
async function failsAtOnce(lab: Lab, parts: LabParts): Promise<Error> {
  const options = { ...parts.options, startup: { timeoutMs: STARTUP_MS } };
  const error = await bounded(lab.bootFails({ ...parts, options }), REFUSED_MS, 'the failing boot');
  expect(error).toBeInstanceOf(TopologyConflictError);
  expect(error).toMatchObject({ code: 'TOPOLOGY_CONFLICT', retryable: false });
  return error;
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
      await byHand(RABBITMQ.url, (channel) => channel.assertQueue(bystanderOf(lab), { durable: true }));
      const error = await lab.bootFails({ providers: [...listeners(new Log('events'))] });
      expect((error as TopologyConflictError).conflicts.map(({ entity }) => entity).toSorted()).toEqual(
        [bystanderOf(lab), queueOf(lab)].toSorted(),
      );
    }),
  );
});

onRabbit("assert: 'check' and 'skip'", () => {
  it.each(ALL)('%s of the %s: takes the queue as it is; failed events still reach their dead letters', (mode, level) =>
    withLab(RABBITMQ.url, async (lab) => {
      await makeExchanges(lab);
      await makeGroup(lab, queueOf(lab), 'orders.*');
      if (level === 'transport') await makeGroup(lab, bystanderOf(lab), '#');
      const seen = new Log<unknown>('events');
      const { app, bus } = await lab.boot(inMode(level, mode, seen));
      const deadLetters = app.get(DeadLetterService);
      expect(bus.status).toBe('up');
      await bus.publish('orders.created', mode);
      await seen.reach(2);
      await bus.publish('orders.created', 'fails');
      await until('it is dead', async () => (await deadLetters.count(queueOf(lab))) === 1);
      expect(await deadLetters.list(queueOf(lab))).toMatchObject([{ reason: 'attempts-exhausted', attempts: 2 }]);
      expect(warnings(lab).filter((line) => line.includes('declared'))).toEqual([]);
    })(),
  );

  it.each<readonly [Level, (lab: Lab) => readonly string[]]>([
    ['handler', (lab) => [queueOf(lab)]],
    ['transport', (lab) => [queueOf(lab), bystanderOf(lab)]],
  ])('check of the %s: queues that are missing fail the start, are named, and are not made', (level, groupsOf) =>
    withLab(RABBITMQ.url, async (lab) => {
      if (level === 'transport') await makeExchanges(lab);
      const missing = groupsOf(lab).map((group) => lab.willRemoveGroup(group));
      lab.willRemoveGroup(bystanderOf(lab));
      const error = await failsAtOnce(lab, inMode(level, 'check', new Log('events')));
      const conflicts = missing.map((group) => ({ kind: 'queue', entity: `${group}.dlq` }));
      expect(error).toMatchObject({ conflicts: expect.arrayContaining(conflicts) });
      expect((error as TopologyConflictError).conflicts).toHaveLength(conflicts.length);
      for (const group of missing) {
        expect(error.message).toContain(`Queue "${group}.dlq" does not exist`);
        expect(await isQueueMissing(group)).toBe(true);
        expect(await isQueueMissing(`${group}.dlq`)).toBe(true);
      }
    })(),
  );

  it.each(LEVELS)('check of the %s: dead letters alone do not do', (level) =>
    withLab(RABBITMQ.url, async (lab) => {
      await makeExchanges(lab);
      await makeGroup(lab, queueOf(lab), 'orders.*');
      await makeGroup(lab, bystanderOf(lab), '#');
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.deleteQueue(queueOf(lab));
        // the queue of the other handler is to be no conflict, whoever makes it
        if (level === 'handler') for (const end of ['', '.dlq']) await channel.deleteQueue(`${bystanderOf(lab)}${end}`);
      });
      const error = await failsAtOnce(lab, inMode(level, 'check', new Log('events')));
      expect(error).toMatchObject({ conflicts: [{ kind: 'queue', entity: queueOf(lab) }] });
      expect(await isQueueMissing(queueOf(lab))).toBe(true);
    })(),
  );

  it.each(LEVELS)('skip of the %s waits for a queue that is missing, and does not make it', (level) =>
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('events');
      await makeExchanges(lab);
      if (level === 'transport') await makeGroup(lab, bystanderOf(lab), '#');
      lab.willRemoveGroup(queueOf(lab));
      const parts = inMode(level, 'skip', seen);
      const { bus } = await lab.boot({ ...parts, options: { ...parts.options, startup: { mode: 'background' } } });
      await until('it is told', () => warnings(lab).some((line) => line.includes('cannot consume')));
      expect(await isQueueMissing(queueOf(lab))).toBe(true);
      expect(await isQueueMissing(`${queueOf(lab)}.dlq`)).toBe(true);
      await makeGroup(lab, queueOf(lab), 'orders.*');
      await until('it consumes', () => bus.status === 'up');
      await bus.publish('orders.created', 1);
      await seen.reach(2);
      expect(seen.items).toContainEqual(['orders', 1]);
    })(),
  );

  it.each(['', '.broadcast'])(
    "check: an exchange that is missing ('%s') fails the start, is named, and is not made",
    (end) =>
      withLab(RABBITMQ.url, async (lab) => {
        const missing = `${lab.exchange}${end}`;
        await makeExchanges(lab);
        await byHand(RABBITMQ.url, (channel) => channel.deleteExchange(missing));
        const error = await failsAtOnce(lab, { options: transportIn('check') });
        expect((error as TopologyConflictError).conflicts).toEqual([{ kind: 'exchange', entity: missing }]);
        expect(error.message).toContain(`Exchange "${missing}" does not exist`);
        expect(await isExchangeMissing(missing)).toBe(true);
      })(),
  );

  it(
    'check in the background: publishes are rejected at once while an exchange is missing, until it is made',
    withLab(RABBITMQ.url, async (lab) => {
      const { bus } = await lab.boot({ options: { ...transportIn('check'), startup: { mode: 'background' } } });
      const conflicts = [{ kind: 'exchange', entity: lab.exchange }];
      const first = bus.publish('orders.created', 1).catch((error: unknown) => error);
      expect(await bounded(first, REFUSED_MS, 'the publish')).toMatchObject({ code: 'TOPOLOGY_CONFLICT', conflicts });
      const second = bus.publish('orders.created', 2).catch((error: unknown) => error);
      expect(await bounded(second, 100, 'the publish')).toMatchObject({ code: 'TOPOLOGY_CONFLICT', conflicts });
      expect(bus.status).toBe('down');
      expect(await isExchangeMissing(lab.exchange)).toBe(true);
      await makeExchanges(lab);
      await until('it is up', () => bus.status === 'up');
      expect(await bus.publish('orders.created', 3, { unroutable: 'ignore' })).toMatchObject({ state: 'confirmed' });
    }),
  );

  it(
    'skip: starts without its exchange; a publish to it is rejected with the reason, and the next goes on when it is made',
    withLab(RABBITMQ.url, async (lab) => {
      const { bus } = await lab.boot({ options: transportIn('skip') });
      expect(bus.status).toBe('up');
      const refused = bus.publish('orders.created', 1).catch((error: unknown) => error);
      const error = await bounded(refused, REFUSED_MS, 'the publish');
      expect(error).toMatchObject({ code: 'CHANNEL_CLOSED', retryable: false });
      expect(String(error)).toContain(`no exchange '${lab.exchange}'`);
      expect(await isExchangeMissing(lab.exchange)).toBe(true);
      await makeExchanges(lab);
      expect(await bus.publish('orders.created', 2, { unroutable: 'ignore' })).toMatchObject({ state: 'confirmed' });
    }),
  );

  it.each<Mode>(['check', 'skip'])('%s takes an exchange of another type as it is', (mode) =>
    withLab(RABBITMQ.url, async (lab) => {
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.assertExchange(lab.exchange, 'fanout');
        await channel.assertExchange(`${lab.exchange}.broadcast`, 'topic');
      });
      await makeGroup(lab, queueOf(lab), 'orders.*');
      await makeGroup(lab, bystanderOf(lab), '#');
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot(inMode('transport', mode, seen));
      expect(await bus.publish('orders.created', 1)).toMatchObject({ state: 'confirmed', routed: true });
      await seen.reach(2);
      expect(warnings(lab)).toEqual([]);
    })(),
  );

  it.each<Mode>(['check', 'skip'])("the handler's own assert wins over %s of the transport", (mode) =>
    withLab(RABBITMQ.url, async (lab) => {
      await makeExchanges(lab);
      await makeGroup(lab, bystanderOf(lab), '#');
      const seen = new Log<unknown>('events');
      const { bus } = await lab.boot({ options: transportIn(mode), providers: [...listeners(seen, 'assert')] });
      expect(await isQueueMissing(queueOf(lab))).toBe(false);
      await bus.publish('orders.created', 1);
      await seen.reach(2);
      expect(seen.items).toContainEqual(['orders', 1]);
    })(),
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
