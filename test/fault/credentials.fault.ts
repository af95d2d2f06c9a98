import 'reflect-metadata';
import { inspect } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectionError, type EventBusError, type RabbitMqTransportOptions } from '../../lib/index.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { Door, type DoorState } from './harness/door.js';
import { OwnBroker } from './harness/own-broker.js';
import { Traffic } from './harness/traffic.js';

interface User {
  readonly user: string;
  readonly password: string;
}

const REFUSED_MS = 2_000;
const SHOP: User = { user: 'c4nary-shop', password: 'c4nary-word' };
const own = new OwnBroker();

async function add({ user, password }: User, vhost = '/'): Promise<void> {
  await own.node.ctl('add_user', user, password);
  await own.node.ctl('set_permissions', '-p', vhost, user, '.*', '.*', '.*');
}

own.suite('credentials', () => {
  beforeAll(async () => {
    await own.node.ctl('add_vhost', 'closed');
    await own.node.ctl('add_vhost', 'full');
    await add(SHOP);
    await own.node.ctl('set_permissions', '-p', 'full', SHOP.user, '.*', '.*', '.*');
    await own.node.ctl('set_vhost_limits', '-p', 'full', '{"max-connections":0}');
  }, 120_000);

  describe('what the broker refuses', () => {
    // of a virtual host the driver tells nothing, so that it takes more than one try for each connection
    const cases: readonly (readonly [string, User, string | undefined, number])[] = [
      ['a wrong password', { ...SHOP, password: 'c4nary-wrong' }, undefined, 2],
      ['an unknown user', { ...SHOP, user: 'c4nary-nobody' }, undefined, 2],
      ['an empty password', { ...SHOP, password: '' }, undefined, 2],
      ['a missing virtual host', SHOP, 'no/such/vhost', 10],
      ['a virtual host that is not for this user', SHOP, 'closed', 10],
      ['a virtual host that takes no more connections', SHOP, 'full', 10],
    ];

    function check(error: unknown, vhost: string | undefined): void {
      expect(error).toBeInstanceOf(ConnectionError);
      expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', retryable: false });
      const { message } = error as EventBusError;
      expect(message).toContain(
        `127.0.0.1:${own.door.port}${vhost === undefined ? '' : `/${encodeURIComponent(vhost)}`}`,
      );
      expect([inspect(error, { depth: 10 }), ...own.lab.lines].join('\n')).not.toContain('c4nary');
    }

    /** It has stopped for good: not even the longest pause of the first minute brings another try. */
    async function assertNoMoreTries(atMost: number): Promise<void> {
      // one of the two connections may be a try behind the other
      await quiet(1_000);
      const { length } = own.door.arrivals;
      expect(length).toBeGreaterThanOrEqual(1);
      expect(length).toBeLessThanOrEqual(atMost);
      await quiet(2_000);
      expect(own.door.arrivals).toHaveLength(length);
      expect(own.door.connections).toBe(0);
    }

    it.each(cases)('%s: the boot is rejected within 2 s, for good', async (_, user, vhost, tries) => {
      const options = { transport: own.door.url(user, vhost), startup: { timeoutMs: 20_000 } };
      const before = Date.now();
      const error = await own.lab.bootFails({ options });
      expect(Date.now() - before).toBeLessThan(REFUSED_MS);
      check(error, vhost);
      await assertNoMoreTries(tries);
    });

    it.each(cases)(
      '%s in the background: down, and every publish is rejected at once',
      async (_, user, vhost, tries) => {
        const { app, bus } = await own.lab.boot({
          options: { transport: own.door.url(user, vhost), startup: { mode: 'background' } },
        });
        const first = bus.publish('orders.created', { id: 1 }).catch((error: unknown) => error);
        check(await bounded(first, REFUSED_MS, 'the publish'), vhost);
        await until('it is down', () => bus.status === 'down', 500);
        const before = Date.now();
        const second = await bus.publish('orders.created', { id: 2 }).catch((error: unknown) => error);
        check(second, vhost);
        expect(Date.now() - before).toBeLessThan(100);
        expect(own.lab.lines.filter((line) => line.startsWith('error '))).not.toHaveLength(0);
        await assertNoMoreTries(tries);
        await bounded(app.close(), 1_000, 'close');
      },
    );
  });

  describe('several urls', () => {
    const WRONG: User = { ...SHOP, password: 'c4nary-wrong' };
    const to = (...urls: readonly string[]) => ({ type: 'rabbitmq', urls }) satisfies RabbitMqTransportOptions;

    /** A second address of the same broker, besides the one of each test. */
    async function withSecond(state: DoorState, test: (second: Door) => Promise<void>): Promise<void> {
      const second = await Door.open(own.node.url(), state);
      try {
        await test(second);
      } finally {
        await second.turn('closed');
      }
    }

    function assertNoSecret(...shown: readonly unknown[]): void {
      expect([...shown.map((each) => inspect(each, { depth: 10 })), ...own.lab.lines].join('\n')).not.toContain(
        'c4nary',
      );
    }

    it('all with a wrong password: the boot is rejected within 2 s, for good, when each was tried', () =>
      withSecond('forward', async (second) => {
        const transport = to(own.door.url(WRONG), second.url(WRONG));
        const booting = own.lab.bootFails({ options: { transport, startup: { timeoutMs: 20_000 } } });
        const error = await bounded(booting, REFUSED_MS, 'the failing boot');
        expect(error).toBeInstanceOf(ConnectionError);
        expect(error).toMatchObject({ code: 'CONNECTION_REFUSED', retryable: false });
        for (const { port } of [own.door, second]) expect(error.message).toContain(`127.0.0.1:${port}`);
        assertNoSecret(error);
        // also not by the connection that was a try behind
        await quiet(1_500);
        for (const { arrivals, connections } of [own.door, second]) {
          expect(arrivals.length).toBeGreaterThanOrEqual(1);
          expect(arrivals.length).toBeLessThanOrEqual(2);
          expect(connections).toBe(0);
        }
      }));

    it.each([
      ['first', 0],
      ['second', 1],
    ])('only the %s with a wrong password: connects by the other, and stays there', (_, wrong) =>
      withSecond('forward', async (second) => {
        const doors = [own.door, second];
        const traffic = new Traffic();
        const { bus } = await own.lab.boot({
          options: {
            transport: to(...doors.map((door, index) => door.url(index === wrong ? WRONG : SHOP))),
            startup: { timeoutMs: 3_000 },
          },
          providers: [traffic.listener()],
        });
        expect(bus.status).toBe('up');
        expect(await bus.publish('traffic.go', { n: 1 })).toMatchObject({ state: 'confirmed', routed: true });
        await until('it is handled', () => traffic.handled.has(1));
        expect(doors.map(({ connections }) => connections)).toEqual(wrong === 0 ? [0, 2] : [2, 0]);
        // the first is tried first, by each of the two connections
        expect(doors.map(({ arrivals }) => arrivals.length)).toEqual(wrong === 0 ? [2, 2] : [2, 0]);
        assertNoSecret(bus.describe());
      }),
    );

    // the one that is away may have the right password
    it.each([
      ['before', 1],
      ['after', 0],
    ])('a wrong password %s an address where nobody listens: tried until the start-up time is over', (_, closed) =>
      withSecond('closed', async (second) => {
        const urls = [own.door.url(WRONG), second.url(WRONG)];
        const transport = to(...(closed === 0 ? urls.toReversed() : urls));
        const begin = performance.now();
        const booting = own.lab.bootFails({ options: { transport, startup: { timeoutMs: 2_000 } } });
        const error = await bounded(booting, 4_000, 'the failing boot');
        expect(performance.now() - begin).toBeGreaterThanOrEqual(1_990);
        expect(error).toBeInstanceOf(ConnectionError);
        expect(error).toMatchObject({ code: 'CONNECTION', retryable: true });
        for (const { port } of [own.door, second]) expect(error.message).toContain(`127.0.0.1:${port}`);
        expect(error.message).toMatch(/not ready within 2000 ms \(.*(ACCESS.REFUSED|ECONNREFUSED)/);
        // an operator is told both
        expect(own.lab.lines.join('\n')).toMatch(/ACCESS.REFUSED/);
        expect(own.lab.lines.join('\n')).toMatch(/ECONNREFUSED/);
        expect(own.lab.lines.filter((line) => line.startsWith('error '))).toEqual([]);
        assertNoSecret(error);
        // of the pauses the longest are 0.1, 0.2, 0.4 and 0.8 s
        expect(own.door.arrivals.length).toBeGreaterThanOrEqual(6);
        expect(Math.max(...own.door.arrivals) - begin).toBeGreaterThan(500);
        const { length } = own.door.arrivals;
        await quiet(1_500);
        expect(own.door.arrivals).toHaveLength(length);
      }),
    );

    it('a wrong password and an address where nobody listens: connects when the broker is back there', () =>
      withSecond('closed', async (second) => {
        const transport = to(own.door.url(WRONG), second.url(SHOP));
        const booting = own.lab.boot({ options: { transport, startup: { timeoutMs: 20_000 } } });
        booting.catch(() => undefined); // told below
        await until('it has tried', () => own.door.arrivals.length >= 6);
        await second.turn('forward');
        const { bus } = await bounded(booting, 5_000, 'the boot');
        expect(bus.status).toBe('up');
        expect(second.connections).toBe(2);
      }));
  });

  describe('credentials in a URL', () => {
    const odd: readonly (readonly [string, User])[] = [
      ['every reserved character', { user: 'c4nary:u@s/e%r?#', password: ':@/%?#[]&=+ !$\'"(),;~`{}|\\^<>c4nary' }],
      ['what looks like an escape', { user: 'c4nary%41', password: '%41%2f%zz%' }],
      ['letters beyond ASCII', { user: 'c4nary-jürgen', password: 'pässwörd-密码-🔑' }],
    ];

    it.each(odd)('%s, percent-encoded: connects', async (_, user) => {
      await add(user);
      const traffic = new Traffic();
      const { bus } = await own.lab.boot({
        options: { transport: own.door.url(user), startup: { timeoutMs: 3_000 } },
        providers: [traffic.listener()],
      });
      expect(await bus.publish('traffic.go', { n: 1 })).toMatchObject({ state: 'confirmed', routed: true });
      expect(inspect([bus.describe(), own.lab.lines], { depth: 10 })).not.toContain('c4nary');
    });

    it('a virtual host with reserved characters, percent-encoded: connects', async () => {
      const vhost = 'shop/eu:1@%?#';
      await own.node.ctl('add_vhost', vhost);
      await own.node.ctl('set_permissions', '-p', vhost, SHOP.user, '.*', '.*', '.*');
      const { bus } = await own.lab.boot({ options: { transport: own.door.url(SHOP, vhost) } });
      expect(bus.status).toBe('up');
    });
  });

  it('a service that has run outlives a password that is wrong for a while, and says so', async () => {
    const user = { user: 'c4nary-rotated', password: 'c4nary-first' };
    await add(user);
    const traffic = new Traffic();
    const { bus } = await own.lab.boot({ options: { transport: own.door.url(user) }, providers: [traffic.listener()] });
    await own.node.ctl('change_password', user.user, 'c4nary-second');
    expect(own.door.cut()).toBe(2);
    const tries = own.door.arrivals.length;
    const waiting = bus.publish('traffic.go', { n: 1 }, { timeoutMs: 20_000 }).catch((error: unknown) => error);
    await until('it has tried', () => own.door.arrivals.length >= tries + 6);
    expect(bus.status).toBe('down');
    await own.node.ctl('change_password', user.user, user.password);
    expect(await bounded(waiting, 10_000, 'the publish')).toMatchObject({ state: 'confirmed', routed: true });
    await until('it is handled', () => traffic.handled.has(1));
    expect(own.lab.lines.join('\n')).not.toContain('c4nary');
    // else an operator sees only that the connection was lost
    expect(own.lab.lines.join('\n')).toMatch(/ACCESS.REFUSED/);
  });
});
