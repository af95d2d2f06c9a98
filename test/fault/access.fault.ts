import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type DeadLetterService, EventBusError, type EventBusModuleOptions, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { OwnBroker } from './harness/own-broker.js';

/** Regular expressions over names of queues and exchanges. */
interface Rights {
  readonly configure?: string;
  readonly write?: string;
  readonly read?: string;
}

const TOLD_MS = 2_000;
const NOTHING = '^$';
const own = new OwnBroker();

let users = 0;

/** A user of its own for each test. */
async function addUser(rights: Rights): Promise<{ readonly user: string; readonly password: string }> {
  const user = `user-${++users}`;
  await own.node.ctl('add_user', user, 'c4nary');
  await grant(user, rights);
  return { user, password: 'c4nary' };
}

async function grant(user: string, { configure = '.*', write = '.*', read = '.*' }: Rights): Promise<void> {
  await own.node.ctl('set_permissions', user, configure, write, read);
}

function listener(handle: (payload: unknown) => void): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*', { retry: false })
    on(payload: unknown): void {
      handle(payload);
    }
  }
  return OrderListener;
}

const but = (name: string): string => `^(?!${name.replaceAll('.', '\\.')}$).*`;
const ignore = (): void => undefined;

own.suite('a user with too few rights', () => {
  /** Told in time, by a typed error with the name of what may not be touched, and without beginning again and again. */
  function check(error: unknown, entity: string, since: number): void {
    expect(Date.now() - since).toBeLessThan(TOLD_MS);
    expect(error).toBeInstanceOf(EventBusError);
    const { code, message, retryable } = error as EventBusError;
    expect(message).toContain(entity);
    expect(`${code} ${message}`).toMatch(/ACCESS.REFUSED/);
    expect(retryable).toBe(false);
    expect(own.door.arrivals).toHaveLength(2);
  }

  const startups: readonly (readonly [string, () => Rights, () => string])[] = [
    [
      'may not declare queues',
      () => ({ configure: `^${own.lab.exchange}` }),
      () => `${own.lab.service}.OrderListener.on`,
    ],
    ['may not declare the exchange', () => ({ configure: but(own.lab.exchange) }), () => own.lab.exchange],
    [
      'may not bind the queue (no write on it)',
      () => ({ write: but(`${own.lab.service}.OrderListener.on`) }),
      () => `${own.lab.service}.OrderListener.on`,
    ],
    ['may not bind to the exchange (no read on it)', () => ({ read: but(own.lab.exchange) }), () => own.lab.exchange],
    [
      'may not read the queue',
      () => ({ read: but(`${own.lab.service}.OrderListener.on`) }),
      () => `${own.lab.service}.OrderListener.on`,
    ],
    [
      'may not dead-letter (no write on the default exchange)',
      () => ({ write: but('amq.default') }),
      () => 'amq.default',
    ],
  ];

  it.each(startups)('%s: the boot is rejected within 2 s, naming it', async (_, rights, entity) => {
    const transport = own.door.url(await addUser(rights()));
    const options = { transport, startup: { timeoutMs: 6_000 } };
    const since = Date.now();
    const error = await own.lab.bootFails({ options, providers: [listener(ignore)] });
    check(error, entity(), since);
    await quiet(500);
    expect(own.door.connections).toBe(0);
  });

  it.each(startups)('%s in the background: the log names it, the connections stay', async (_, rights, entity) => {
    const transport = own.door.url(await addUser(rights()));
    const options: EventBusModuleOptions = { transport, startup: { mode: 'background' } };
    const { bus } = await own.lab.boot({ options, providers: [listener(ignore)] });
    const said = (): string => own.lab.lines.filter((line) => /^(warn|error) /.test(line)).join('\n');
    await until('it is told', () => said().includes(entity()), TOLD_MS);
    expect(said()).toMatch(/ACCESS.REFUSED|may not/);
    expect(bus.status).not.toBe('up');
    await quiet(1_500);
    expect(own.door.arrivals).toHaveLength(2);
    expect(own.lab.lines.length).toBeLessThan(20);
  });

  it('a subscription that may not declare its queue is rejected within 2 s; the bus goes on', async () => {
    const seen = new Log<unknown>('events');
    const transport = own.door.url(await addUser({ configure: but('forbidden.group.dlq') }));
    const { bus } = await own.lab.boot({ options: { transport }, providers: [listener(seen.add)] });
    const since = Date.now();
    const subscribed = bus.subscribe('orders.*', ignore, { group: 'forbidden.group' }).catch((error: unknown) => error);
    check(await bounded(subscribed, 10_000, 'the subscription'), 'forbidden.group', since);
    expect(await bus.publish('orders.created', 1)).toMatchObject({ routed: true });
    await seen.reach(1);
    expect(bus.status).toBe('up');
  });

  it('may not publish to the exchange: only those publishes are rejected, each within 2 s', async () => {
    const transport = own.door.url(await addUser({ write: but(own.lab.exchange) }));
    const { bus } = await own.lab.boot({ options: { transport } });
    const since = Date.now();
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        n % 4 === 0
          ? bus.publish('orders.created', n).catch((error: unknown) => error)
          : bus.broadcast('orders.created', n, { unroutable: 'ignore' }),
      ),
    );
    expect(Date.now() - since).toBeLessThan(TOLD_MS);
    const [denied, allowed] = [0, 1].map((kind) => outcomes.filter((_, n) => Math.sign(n % 4) === kind));
    expect(allowed).toMatchObject(Array(30).fill({ state: 'confirmed' }));
    expect(denied).toHaveLength(10);
    for (const error of denied ?? []) check(error, own.lab.exchange, since);
    expect(bus.status).toBe('up');
  });

  it('may no longer read the queue: the next boot is rejected within 2 s, naming it', async () => {
    const group = `${own.lab.service}.OrderListener.on`;
    const user = await addUser({});
    const transport = own.door.url(user);
    const { app } = await own.lab.boot({ options: { transport }, providers: [listener(ignore)] });
    await app.close();
    await grant(user.user, { read: but(group) });
    own.door.arrivals.length = 0;
    const since = Date.now();
    const options = { transport, startup: { timeoutMs: 6_000 } };
    check(await own.lab.bootFails({ options, providers: [listener(ignore)] }), group, since);
    expect(Date.now() - since).toBeLessThan(TOLD_MS);
  });

  it('may no longer write dead letters: the event is kept, and is dead when it may again', async () => {
    let runs = 0;
    const fail = (): never => {
      runs++;
      throw new Error('never works');
    };
    const user = await addUser({});
    const { bus, deadLetters } = await own.lab.boot({
      options: { transport: own.door.url(user) },
      providers: [listener(fail)],
    });
    const group = `${own.lab.service}.OrderListener.on`;
    await grant(user.user, { write: but('amq.default') });
    // the broker keeps what it has decided about a user: a new connection asks again
    expect(own.door.cut()).toBe(2);
    await until('it is down', () => bus.status === 'down');
    await until('it is up', () => bus.status === 'up');
    expect(await bus.publish('orders.created', 1)).toMatchObject({ routed: true });
    await until('it has been told', () => own.lab.lines.some((line) => /could not be stored/.test(line)));
    expect(own.lab.lines.join('\n')).toMatch(/ACCESS.REFUSED/);
    await quiet(3_000);
    expect(await deadLetters.count(group)).toBe(0);
    const runsThen = runs;
    await grant(user.user, {});
    expect(own.door.cut()).toBe(2);
    await until('it is dead', async () => (await deadLetters.count(group).catch(() => 0)) === 1);
    expect(await deadLetters.list(group)).toMatchObject([{ reason: 'attempts-exhausted', payload: 1, attempts: 1 }]);
    // a policy of one attempt, and one lost connection
    expect({ runsThen, runs }).toEqual({ runsThen: 1, runs: 2 });
  });

  describe('for the dead letters of a group', () => {
    const group = (): string => `${own.lab.service}.OrderListener.on`;

    /** Three dead letters, and whoever would read them. */
    async function bury(rights: Rights): Promise<{ readonly deadLetters: DeadLetterService; readonly user: string }> {
      const fail = (): never => {
        throw new Error('never works');
      };
      const transport = own.node.url();
      const { bus, deadLetters } = await own.lab.boot({ options: { transport }, providers: [listener(fail)] });
      await bus.publishAll([1, 2, 3].map((n) => ({ topic: 'orders.created', payload: n })));
      await until('they are dead', async () => (await deadLetters.count(group())) === 3);
      const user = await addUser(rights);
      const options = { transport: own.door.url(user), consume: { enabled: false } };
      return { ...(await own.lab.boot({ options })), user: user.user };
    }

    /** Told by a typed error, which names the queue and not the user. */
    async function isRefused(work: Promise<unknown>, user: string, entity: string): Promise<void> {
      const error = await bounded(
        work.catch((cause: unknown) => cause),
        10_000,
        'the refusal',
      );
      expect(error).toBeInstanceOf(EventBusError);
      const { code, message, retryable } = error as EventBusError;
      expect(`${code} ${message}`).toMatch(/ACCESS.REFUSED/);
      expect(message).toContain(entity);
      expect(message).not.toContain(user);
      expect(retryable).toBe(false);
    }

    it('may not read them: they can be counted, and nothing else', async () => {
      const { deadLetters, user } = await bury({ read: but(`${group()}.dlq`) });
      expect(await deadLetters.count(group())).toBe(3);
      for (const work of [deadLetters.list(group()), deadLetters.replay(group()), deadLetters.purge(group())])
        await isRefused(work, user, `${group()}.dlq`);
      expect(await deadLetters.count(group())).toBe(3);
    });

    it('may not declare the lock: they can be read, replayed and purged', async () => {
      const { deadLetters } = await bury({ configure: but(`${group()}.dlq.reader`) });
      expect(await deadLetters.list(group())).toHaveLength(3);
      expect(await deadLetters.replay(group(), { limit: 1 })).toBe(1);
      await until('it is dead again', async () => (await deadLetters.count(group())) === 3);
      expect(await deadLetters.purge(group())).toBe(3);
    });

    it('may not write to the default exchange: none is replayed, and none is lost', async () => {
      const { deadLetters, user } = await bury({ write: but('amq.default') });
      await isRefused(deadLetters.replay(group(), { limit: 2 }), user, 'amq.default');
      expect(await deadLetters.list(group())).toHaveLength(3);
    });
  });

  it('has no rights at all: the boot is rejected within 2 s', async () => {
    const transport = own.door.url(await addUser({ configure: NOTHING, write: NOTHING, read: NOTHING }));
    const since = Date.now();
    const error = await own.lab.bootFails({ options: { transport, startup: { timeoutMs: 6_000 } } });
    check(error, own.lab.exchange, since);
    expect(own.lab.lines).not.toHaveLength(0);
  });
});

own.suite('a user with the rights that the README names', () => {
  it('can do all that a service does', async () => {
    const { service, exchange } = own.lab;
    const mine = `^(${service}\\.|${exchange}$|${exchange}\\.(broadcast$|groups\\.${service}))`;
    const user = await addUser({
      configure: mine,
      read: mine,
      write: mine.replace('^(', '^(amq\\.default$|'),
    });
    let isBroken = true;
    const handled = new Log<unknown>('events');
    const OrderListener = listener((payload) => {
      if (isBroken) throw new Error('on purpose');
      handled.add(payload);
    });
    const { bus, deadLetters } = await own.lab.boot({
      providers: [OrderListener],
      options: { transport: own.door.url(user), consume: { retry: false } },
    });
    const group = `${service}.OrderListener.on`;
    const seen = new Log<unknown>('observed');
    const subscription = await bus.subscribe('orders.*', seen.add);
    await bus.publish('orders.placed', 1);
    await until('it is dead', async () => (await deadLetters.count(group)) === 1);
    expect(await deadLetters.list(group)).toHaveLength(1);
    isBroken = false;
    expect(await deadLetters.replay(group)).toBe(1);
    await handled.reach(1);
    await bus.broadcast('orders.all', 2);
    await handled.reach(2);
    await seen.reach(2);
    await subscription.cancel();
    await until('the groups are recorded', async () => {
      const queues = await own.node.ctl('list_queues', 'name');
      return queues.includes(`${exchange}.groups.${service}`);
    });
    expect(own.lab.lines.filter((line) => /REFUSED|could not|cannot/.test(line))).toEqual([]);
  }, 60_000);
});
