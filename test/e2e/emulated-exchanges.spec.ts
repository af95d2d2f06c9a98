import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type ChannelModel, connect } from 'amqplib';
import { type EventBusModuleOptions, type EventContext, fixed, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { RabbitMqRuleTables } from '../../lib/transports/rabbitmq/rabbitmq.rule-table.js';
import { byHand, waitingIn } from '../fault/harness/by-hand.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { type Lab, type LabApp, withLab } from '../support/lab.js';
import { LabelledExchange, ReversedExchange } from '../support/own-exchanges.js';

type Seen = readonly [payload: unknown, topic: string, attempt: number];

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;
const IGNORE = { unroutable: 'ignore' } as const;

const reversed = (lab: Lab): EventBusModuleOptions => ({
  exchange: { name: lab.exchange, handler: new ReversedExchange() },
});

/** Payloads named `once` fail the first time, `fails` every time. */
function listener(pattern: string | readonly string[], seen: Log<Seen>, options: OnEventOptions = {}): Type {
  @Injectable()
  class Orders {
    @OnEvent(pattern, { retry: { delaysMs: [20] }, ...options })
    on(payload: unknown, { topic, attempt }: EventContext): void {
      seen.add([payload, topic, attempt]);
      if (payload === 'fails' || (payload === 'once' && attempt === 1)) throw new Error('as asked');
    }
  }
  return Orders;
}

/** What consumers have acknowledged because no binding asks for it. */
function droppedBy({ bus }: Pick<LabApp, 'bus'>): number {
  const { transport } = bus.describe() as { readonly transport?: { readonly emulated?: { readonly dropped: number } } };
  return transport?.emulated?.dropped ?? 0;
}

const typeOf = (name: string): Promise<string> =>
  byHand(RABBITMQ.url, async (channel) => {
    try {
      await channel.assertExchange(name, 'direct', { durable: true });
      return 'direct';
    } catch (error) {
      return /but current is '?(\w+)/.exec(String(error))?.[1] ?? String(error);
    }
  });

onRabbit('an exchange whose type the broker does not have', () => {
  it(
    'is a fanout whose rule the consumers apply; the topic is the pattern here',
    withLab(RABBITMQ.url, async (lab) => {
      const created = new Log<Seen>('created');
      const paid = new Log<Seen>('paid');
      const lived = await lab.boot({
        options: reversed(lab),
        providers: [
          listener('orders.created', created, { group: lab.willRemoveGroup(`${lab.name}.created`) }),
          listener('orders.paid', paid, { group: lab.willRemoveGroup(`${lab.name}.paid`) }),
        ],
      });
      expect(await lived.bus.publish('orders.*', 1)).toMatchObject({ state: 'confirmed', routed: true });
      await lived.bus.publish('orders.paid', 2);
      await lived.bus.publish('users.#', 3);
      await lived.bus.publish('#', 4);
      await created.reach(2);
      await paid.reach(3);
      await until('the others are dropped', () => droppedBy(lived) === 3);
      expect(created.items.map(([payload]) => payload)).toEqual([1, 4]);
      expect(paid.items.map(([payload]) => payload)).toEqual([1, 2, 4]);
      expect(await typeOf(lab.exchange)).toBe('fanout');
      expect(lived.bus.describe()).toMatchObject({ exchange: { name: lab.exchange, type: 'x-test-reversed' } });
      const told = lab.lines.filter((line) => line.includes('consumers apply its rule'));
      expect(told).toHaveLength(2);
      expect(told.filter((line) => line.startsWith('log '))).toHaveLength(2);
      expect(lab.lines.filter((line) => !line.startsWith('log '))).toEqual([]);
    }),
  );

  it(
    'routes by headers, if its rule does',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<Seen>('pdf');
      const lived = await lab.boot({
        options: { exchange: { name: lab.exchange, handler: new LabelledExchange() } },
        providers: [listener('', seen, { headers: { format: 'pdf', pages: 2 }, match: 'all' })],
      });
      await lived.bus.publish('a', 1, { headers: { format: 'txt', pages: 2 } });
      await lived.bus.publish('b', 2, { headers: { format: 'pdf', pages: 2 } });
      expect(await seen.settle(1)).toEqual([[2, 'b', 1]]);
      await until('the other is dropped', () => droppedBy(lived) === 1);
    }),
  );

  it(
    'retries, buries and replays with the topic that was published, and judges no copy again',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<Seen>('orders');
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const lived = await lab.boot({
        options: reversed(lab),
        providers: [listener('orders.created', seen, { group })],
      });
      const { bus, deadLetters } = lived;
      await bus.publish('orders.*', 'once');
      await seen.reach(2);
      await bus.publish('#.created', 'fails');
      await until('it is dead', async () => (await deadLetters.count(group)) === 1);
      expect(await deadLetters.list(group)).toMatchObject([
        { topic: '#.created', reason: 'attempts-exhausted', attempts: 2 },
      ]);
      expect(await deadLetters.replay(group)).toBe(1);
      await seen.reach(6);
      expect(seen.items).toEqual([
        ['once', 'orders.*', 1],
        ['once', 'orders.*', 2],
        ['fails', '#.created', 1],
        ['fails', '#.created', 2],
        ['fails', '#.created', 1],
        ['fails', '#.created', 2],
      ]);
      await until('it is dead again', async () => (await deadLetters.count(group)) === 1);
      expect(droppedBy(lived)).toBe(0);
    }),
  );

  it(
    'brings broadcasts and private subscriptions what they ask for',
    withLab(RABBITMQ.url, async (lab) => {
      const seen = new Log<unknown>('broadcasts');
      const own = new Log<unknown>('private');
      const shared = new Log<Seen>('shared');
      @Injectable()
      class Listener {
        @OnEvent('orders.created', { delivery: 'broadcast' })
        on(payload: unknown): void {
          seen.add(payload);
        }
      }
      const lived = await lab.boot({ options: reversed(lab), providers: [Listener, listener('orders.paid', shared)] });
      const { bus } = lived;
      await bus.subscribe('orders.created', (payload) => own.add(payload));
      await bus.broadcast('orders.*', 1);
      await bus.broadcast('users.*', 2);
      await bus.publish('#', 3);
      await bus.publish('orders', 4, IGNORE);
      expect(new Set(await seen.settle(2))).toEqual(new Set([1, 3]));
      expect(new Set(await own.settle(2))).toEqual(new Set([1, 3]));
      expect(new Set((await shared.settle(2)).map(([payload]) => payload))).toEqual(new Set([1, 3]));
      await until('the rest is dropped', () => droppedBy(lived) === 6);
      expect(await typeOf(`${lab.exchange}.broadcast`)).toBe('fanout');
    }),
  );

  it(
    'says routed when some group is bound, whether that wants the event or not',
    withLab(RABBITMQ.url, async (lab) => {
      const { bus } = await lab.boot({ options: reversed(lab) });
      expect(await bus.publish('a', 1, IGNORE)).toMatchObject({ routed: false });
      await bus.subscribe('b', () => undefined);
      expect(await bus.publish('a', 1, IGNORE)).toMatchObject({ routed: true });
    }),
  );

  it(
    'lets one event through behind 10,000 that are not wanted',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<Seen>('orders');
      const service = listener('orders.created', seen, { group });
      const first = await lab.boot({ options: reversed(lab), providers: [service] });
      await first.app.close();
      const { bus } = await lab.boot({ options: { ...reversed(lab), service: `${lab.service}.publisher` } });
      for (let sent = 0; sent < 10_000; sent += 1_000)
        await Promise.all(Array.from({ length: 1_000 }, () => bus.publish('users.*', 0)));
      await bus.publish('orders.*', 'wanted');
      expect(await waitingIn(RABBITMQ.url, group)).toBe(10_001);
      const lived = await lab.boot({ options: reversed(lab), providers: [service] });
      expect(await seen.reach(1, 60_000)).toEqual([['wanted', 'orders.*', 1]]);
      await until('the others are dropped', () => droppedBy(lived) === 10_000);
      expect(await waitingIn(RABBITMQ.url, group)).toBe(0);
    }),
    120_000,
  );

  it(
    'is consumed by way of a queue that was there before',
    withLab(RABBITMQ.url, async (lab) => {
      const queue = lab.willRemoveGroup(`${lab.name}.legacy`);
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      lab.willRemoveGroup(`${group}.retry.20.to.${queue}`);
      await byHand(RABBITMQ.url, (channel) => channel.assertQueue(queue, { durable: true }));
      const seen = new Log<Seen>('orders');
      const lived = await lab.boot({
        options: { ...reversed(lab), consume: { unmatched: false } },
        providers: [listener('orders.created', seen, { group, rabbitmq: { queue, assert: 'check', bind: true } })],
      });
      await lived.bus.publish('users.*', 1);
      await lived.bus.publish('orders.*', 'once');
      await seen.reach(2);
      expect(seen.items).toEqual([
        ['once', 'orders.*', 1],
        ['once', 'orders.*', 2],
      ]);
      await until('the other is dropped', () => droppedBy(lived) === 1);
      await byHand(RABBITMQ.url, async (channel) => {
        // what comes by no exchange of the group is not judged, and kept as what nobody understands
        channel.sendToQueue(queue, Buffer.from('"sent"'));
        await channel.checkQueue(queue);
      });
      await until('it is dead', async () => (await lived.deadLetters.count(group)) === 1);
      expect(droppedBy(lived)).toBe(1);
    }),
  );

  it.each(['check', 'skip'] as const)('that was made by hand is taken as it is: %s', (assert) =>
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<Seen>('orders');
      const service = listener('orders.created', seen, { group });
      const first = await lab.boot({ options: reversed(lab), providers: [service] });
      await first.app.close();
      const transport = { type: 'rabbitmq', url: RABBITMQ.url, assert } as const;
      const lived = await lab.boot({ options: { ...reversed(lab), transport }, providers: [service] });
      await lived.bus.publish('users.*', 1);
      await lived.bus.publish('orders.*', 2);
      expect(await seen.settle(1)).toEqual([[2, 'orders.*', 1]]);
    })(),
  );

  it(
    'that exists as a fanout is taken; one of a third type is a conflict with both names',
    withLab(RABBITMQ.url, async (lab) => {
      await byHand(RABBITMQ.url, (channel) => channel.assertExchange(lab.exchange, 'fanout'));
      const { app } = await lab.boot({ options: reversed(lab) });
      await app.close();
      await byHand(RABBITMQ.url, async (channel) => {
        await channel.deleteExchange(lab.exchange);
        await channel.assertExchange(lab.exchange, 'direct');
      });
      expect(await lab.bootFails({ options: reversed(lab) })).toMatchObject({
        code: 'TOPOLOGY_CONFLICT',
        conflicts: [{ entity: lab.exchange, argument: 'type', have: 'direct', want: 'x-test-reversed or fanout' }],
      });
    }),
  );
});

onRabbit('a deployment that changes what a group asks for on such an exchange', () => {
  it(
    'loses nothing of what the new version asks for to members of the version before',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const before = new Log<Seen>('before');
      const after = new Log<Seen>('after');
      const unmatched = fixed({ attempts: 50, delayMs: 20 });
      const options = { ...reversed(lab), consume: { unmatched } };
      const old = await lab.boot({ options, providers: [listener('a', before, { group })] });
      await old.bus.publish('b', 'nobody yet');
      await until('it is dropped', () => droppedBy(old) === 1);
      const next = await lab.boot({ options, providers: [listener(['a', 'b'], after, { group })] });
      const payloads = Array.from({ length: 100 }, (_, i) => i);
      for (const payload of payloads) await next.bus.publish('b', payload);
      await after.reach(100);
      expect(new Set(after.items.map(([payload]) => payload))).toEqual(new Set(payloads));
      expect(before.items).toEqual([]);
      expect([droppedBy(old), droppedBy(next)]).toEqual([1, 0]);
      // the fault that this is about: the version before has had some of them
      const { handled = 0, retried = 0 } = old.bus.stats().groups[group] ?? {};
      expect(handled).toBe(0);
      expect(retried).toBeGreaterThan(0);
      expect(after.items.filter(([, , attempt]) => attempt === 1)).toHaveLength(100);
      // rolled back, with what the new one asked for still in the queue
      await Promise.all([old.app.close(), next.app.close()]);
      const { bus } = await lab.boot({ options: { ...reversed(lab), service: `${lab.service}.publisher` } });
      await bus.publish('b', 'queued');
      const again = await lab.boot({
        options: { ...options, consume: { unmatched: false } },
        providers: [listener('a', before, { group })],
      });
      await until('it is dead', async () => (await again.deadLetters.count(group)) === 1);
      expect(await again.deadLetters.list(group)).toMatchObject([{ reason: 'unmatched', topic: 'b' }]);
    }),
  );

  it(
    'drops what was unbound',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<Seen>('seen');
      const first = await lab.boot({ options: reversed(lab), providers: [listener(['a', 'b'], seen, { group })] });
      await first.app.close();
      const lived = await lab.boot({
        options: reversed(lab),
        providers: [listener('a', seen, { group, unbind: 'b' })],
      });
      await lived.bus.publish('b', 1);
      await lived.bus.publish('a', 2);
      expect(await seen.settle(1)).toEqual([[2, 'a', 1]]);
      await until('it is dropped', () => droppedBy(lived) === 1);
    }),
  );

  it(
    'drains a group that was renamed of what that asked for, and removes all that belonged to it',
    withLab(RABBITMQ.url, async (lab) => {
      const old = lab.willRemoveGroup(`${lab.name}.old`);
      const group = lab.willRemoveGroup(`${lab.name}.new`);
      const seen = new Log<Seen>('seen');
      const first = await lab.boot({ options: reversed(lab), providers: [listener(['a', 'b'], seen, { group: old })] });
      await first.app.close();
      const publisher = await lab.boot({ options: { ...reversed(lab), service: `${lab.service}.publisher` } });
      for (const topic of ['a', 'b', 'c']) await publisher.bus.publish(topic, topic);
      const lived = await lab.boot({
        options: { ...reversed(lab), consume: { unmatched: false } },
        providers: [listener('a', seen, { group, renamedFrom: old })],
      });
      expect(await seen.settle(1)).toEqual([['a', 'a', 1]]);
      await until('what nobody asks for is dropped', () => droppedBy(lived) === 1);
      await until('it is dead', async () => (await lived.deadLetters.count(group)) === 1);
      expect(await lived.deadLetters.list(group)).toMatchObject([{ reason: 'unmatched', topic: 'b' }]);
    }),
  );
});

onRabbit('the consumer of such an exchange', () => {
  it(
    'closes at once while it drops',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const service = listener('a', new Log<Seen>('seen'), { group });
      const { app, bus } = await lab.boot({ options: reversed(lab), providers: [service] });
      await Promise.all(Array.from({ length: 500 }, (_, i) => bus.publish('b', i)));
      await bounded(app.close(), 2_000, 'the close');
      expect(await waitingIn(RABBITMQ.url, group)).toBeGreaterThanOrEqual(500 - droppedBy({ bus }));
    }),
  );
});

onRabbit('the table of such a group', () => {
  it(
    'may be removed while it is used: its consumers make it anew, go on, and drop nothing until all have',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<Seen>('seen');
      const lived = await lab.boot({
        options: { ...reversed(lab), consume: { unmatched: false } },
        providers: [listener('a', seen, { group })],
      });
      await byHand(RABBITMQ.url, async (channel) => {
        for (const end of ['rules', 'changes']) await channel.deleteQueue(`${group}.${end}`);
      });
      await lived.bus.publish('b', 1);
      await lived.bus.publish('a', 2);
      await until('it is dead', async () => (await lived.deadLetters.count(group)) === 1);
      await seen.reach(1);
      expect(droppedBy(lived)).toBe(0);
      expect(lab.lines.some((line) => line.startsWith('warn ') && line.includes(`"${group}.rules" is empty`))).toBe(
        true,
      );
      expect(await waitingIn(RABBITMQ.url, `${group}.rules`)).toBe(1);
    }),
  );

  it.each([['rules, changes'], ['rules'], ['changes']])(
    'may be emptied before a new version starts (%s): neither drops what the other asks for',
    (ends) =>
      withLab(RABBITMQ.url, async (lab) => {
        const group = lab.willRemoveGroup(`${lab.name}.group`);
        const [before, after] = [new Log<Seen>('before'), new Log<Seen>('after')];
        const options = { ...reversed(lab), consume: { unmatched: fixed({ attempts: 100, delayMs: 20 }) } };
        // the count begins anywhere up to 256, and must not by chance be what it was
        await byHand(RABBITMQ.url, async (channel) => {
          await channel.assertQueue(`${group}.changes`, { durable: true, arguments: { 'x-queue-type': 'classic' } });
          for (let i = 0; i < 256; i++) channel.sendToQueue(`${group}.changes`, Buffer.alloc(0));
          await channel.checkQueue(`${group}.changes`);
        });
        const old = await lab.boot({ options, providers: [listener('a', before, { group })] });
        await byHand(RABBITMQ.url, async (channel) => {
          for (const end of ends.split(', ')) await channel.purgeQueue(`${group}.${end}`);
        });
        const next = await lab.boot({ options, providers: [listener('b', after, { group })] });
        // one kind at a time: two that are with the wrong member could go on changing places
        for (let i = 0; i < 20; i++) await next.bus.publish('a', i);
        await before.reach(20);
        for (let i = 0; i < 20; i++) await next.bus.publish('b', i);
        await after.reach(20);
        expect([droppedBy(old), droppedBy(next)]).toEqual([0, 0]);
      })(),
  );

  it.each([['another group'], ['bind: false']])(
    'is that of the queue, whoever consumes it: %s',
    (how) =>
      withLab(RABBITMQ.url, async (lab) => {
        const queue = lab.willRemoveGroup(`${lab.name}.legacy`);
        const groups = ['v1', 'v2'].map((end) => lab.willRemoveGroup(`${lab.name}.${end}`));
        for (const group of groups) lab.willRemoveGroup(`${group}.retry.20.to.${queue}`);
        const [one = '', two = ''] = groups;
        const [created, paid] = [new Log<Seen>('created'), new Log<Seen>('paid')];
        const options = { ...reversed(lab), consume: { unmatched: fixed({ attempts: 100, delayMs: 20 }) } };
        const adopted = { queue, queueType: 'classic' } as const;
        const other =
          how === 'bind: false'
            ? { group: two, rabbitmq: { ...adopted, bind: false } }
            : { group: one, rabbitmq: adopted };
        const second = await lab.boot({ options, providers: [listener('b', paid, { group: two, rabbitmq: adopted })] });
        const first = await lab.boot({ options, providers: [listener('a', created, other)] });
        // one kind at a time: two that are with the wrong member could go on changing places
        for (let i = 0; i < 20; i++) await first.bus.publish('a', i);
        await created.reach(20);
        for (let i = 0; i < 20; i++) await first.bus.publish('b', i);
        await paid.reach(20);
        expect([droppedBy(first), droppedBy(second)]).toEqual([0, 0]);
        expect(await waitingIn(RABBITMQ.url, `${queue}.rules`)).toBe(1);
      })(),
    30_000,
  );

  it(
    'does not judge what came by way of an exchange that is bound to this one',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const seen = new Log<Seen>('seen');
      const lived = await lab.boot({
        options: { ...reversed(lab), consume: { unmatched: false } },
        providers: [listener('a', seen, { group })],
      });
      await byHand(RABBITMQ.url, async (channel) => {
        const upstream = `${lab.exchange}.upstream`;
        await channel.assertExchange(upstream, 'fanout', { durable: false, autoDelete: true });
        await channel.bindExchange(lab.exchange, upstream, '');
        for (const topic of ['a', 'b'])
          channel.publish(upstream, topic, Buffer.from('1'), { contentType: 'application/json' });
        await channel.unbindExchange(lab.exchange, upstream, '');
      });
      await seen.reach(1);
      await until('the other is dead', async () => (await lived.deadLetters.count(group)) === 1);
      expect(droppedBy(lived)).toBe(0);
    }),
  );
});

onRabbit('the table of the rules of a group', () => {
  it(
    'keeps what several processes add and take away at one moment, and tells of each change',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const exchange = { name: lab.exchange, handler: new ReversedExchange() };
      const bound = (...patterns: readonly string[]) => patterns.map((pattern) => ({ exchange, pattern }));
      const patterns = Array.from({ length: 12 }, (_, i) => `p${i}`);
      const connections = await Promise.all([1, 2, 3].map(() => connect(RABBITMQ.url)));
      const [one, two] = connections as [ChannelModel, ChannelModel];
      try {
        const tables = connections.map(() => new RabbitMqRuleTables());
        await Promise.all(
          patterns.map(async (pattern, i) => {
            const n = i % connections.length;
            await tables[n]?.enter(connections[n] as ChannelModel, group, bound(pattern));
          }),
        );
        const [table] = tables as [RabbitMqRuleTables];
        const all = await table.enter(one, group);
        // the count begins anywhere
        const jump = all.version - (patterns.length - 1);
        expect(jump).toBeGreaterThan(0);
        expect(new Set(all.rules.map(({ pattern }) => pattern))).toEqual(new Set(patterns));
        expect(await table.enter(one, group, bound('p3'))).toEqual(all);
        const less = await tables[1]?.enter(two, group, bound('p1'), bound('p0', 'never'));
        expect(less?.version).toBe(all.version + 1);
        expect(less?.rules).toHaveLength(patterns.length - 1);
        // bytes of somebody else, and a second note of a process that died between writing the new one and removing the old
        await byHand(RABBITMQ.url, async (channel) => {
          channel.sendToQueue(`${group}.rules`, Buffer.from('{"no":"table"}'));
          channel.sendToQueue(
            `${group}.rules`,
            Buffer.from(JSON.stringify([{ exchange: lab.exchange, pattern: 'p0' }])),
          );
          await channel.checkQueue(`${group}.rules`);
        });
        expect((await table.enter(one, group)).rules).toHaveLength(patterns.length);
        expect(await waitingIn(RABBITMQ.url, `${group}.rules`)).toBe(1);
      } finally {
        await Promise.all(connections.map((connection) => connection.close()));
      }
    }),
  );

  it(
    'has another version after it was emptied, and its members add their rules once more',
    withLab(RABBITMQ.url, async (lab) => {
      const group = lab.willRemoveGroup(`${lab.name}.group`);
      const exchange = { name: lab.exchange, handler: new ReversedExchange() };
      const bound = (...patterns: readonly string[]) => patterns.map((pattern) => ({ exchange, pattern }));
      const purge = (...ends: readonly string[]): Promise<void> =>
        byHand(RABBITMQ.url, async (channel) => {
          for (const end of ends) await channel.purgeQueue(`${group}.${end}`);
        });
      const connection = await connect(RABBITMQ.url);
      try {
        const tableOf = (number: number): RabbitMqRuleTables => new RabbitMqRuleTables(() => number);
        const [old, next] = [tableOf(0), tableOf(0.5)];
        const first = await old.enter(connection, group, bound('a', 'b'));
        expect(first).toMatchObject({ version: 1, doubtUntil: 0 });
        // what was removed by the next version is not brought back by a member that looks
        const less = await next.enter(connection, group, [], bound('b'));
        expect(less.version).toBe(2);
        expect(await old.enter(connection, group, bound('a', 'b'), [], first.epoch)).toEqual(less);
        await purge('changes');
        const counted = await next.enter(connection, group);
        expect(counted).toEqual({ ...less, version: 129 });
        await purge('rules', 'changes');
        // who asks for nothing knows nothing, and writes nothing
        expect(await next.enter(connection, group)).toMatchObject({ rules: [], doubtUntil: Number.POSITIVE_INFINITY });
        const anew = await next.enter(connection, group, bound('c'));
        expect(anew.version).toBe(129);
        expect(anew.epoch).not.toBe(first.epoch);
        expect(anew.doubtUntil).toBeGreaterThan(Date.now());
        const whole = await old.enter(connection, group, bound('a'), [], first.epoch);
        expect(whole).toMatchObject({ version: 130, epoch: anew.epoch, doubtUntil: anew.doubtUntil });
        expect(new Set(whole.rules.map(({ pattern }) => pattern))).toEqual(new Set(['a', 'c']));
      } finally {
        await connection.close();
      }
    }),
  );
});
