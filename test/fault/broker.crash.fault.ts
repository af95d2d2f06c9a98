import 'reflect-metadata';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { type EventBusService, OnEvent } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { type LabApp } from '../support/lab.js';
import { TcpProxy, withPort } from '../support/tcp-proxy.js';
import { waitingIn } from './harness/by-hand.js';
import { range } from './harness/fake-broker.lab.js';
import { Fleet } from './harness/fleet.js';
import { LedgerBook } from './harness/ledger-book.js';
import { OwnBroker } from './harness/own-broker.js';
import type { ProgramName } from './harness/program.js';
import { drainQueues } from './harness/queue-contents.js';
import { RETRY_MS, type WorkerSettings } from './programs/settings.js';

/** What the queue of a group is declared with. */
const DELIVERY_LIMIT = 20;
const OTHERS = 60;
const KILLS = 3;
const START_MS = 30_000;
const END_MS = 15_000;
const own = new OwnBroker();

let book: LedgerBook;
let fleet: Fleet | undefined;

const groupName = (): string => `${own.lab.service}.work`;

function fleetOf(program: ProgramName, spares: number, over: Partial<WorkerSettings> = {}): Fleet {
  const settings = (): WorkerSettings => ({
    url: own.node.url(),
    exchange: own.lab.exchange,
    group: groupName(),
    ledger: book.open(program),
    prefetch: 20,
    concurrency: 10,
    handlerMs: 5,
    autoStart: false,
    ...over,
  });
  fleet = new Fleet(program, settings, spares);
  return fleet;
}

/** Publishes, and has the queue of the group, but leaves its events to others. */
function bootPublisher(): Promise<LabApp> {
  const group = groupName();
  @Injectable()
  class WorkListener {
    @OnEvent('work.*', { group })
    on(): void {}
  }
  const providers: Type[] = [WorkListener];
  const options = {
    transport: own.node.url(),
    publish: { unroutable: 'reject' },
    consume: { enabled: false },
  } as const;
  return own.lab.boot({ options, providers });
}

/** It is on record, and confirmed, when this resolves. */
async function publish(bus: EventBusService, id: string, n: number, more: object = {}): Promise<void> {
  await bus.publish('work.do', { id, n, ...more }, { id });
}

own.suite('a process that dies in its handler', () => {
  beforeEach(() => {
    book = new LedgerBook();
  });

  afterEach(async () => {
    await fleet?.dispose(END_MS);
    fleet = undefined;
    book.dispose();
  });

  it(`by one and the same event: that is dead after ${DELIVERY_LIMIT + 1} crashes at most, all others are handled`, async () => {
    const { app, bus, deadLetters } = await bootPublisher();
    const group = groupName();
    const workers = fleetOf('crasher', 3);
    await workers.start(0);
    const others = range(OTHERS).map((n) => `other-${n}`);
    for (const [n, id] of others.entries()) {
      if (n === OTHERS / 2) await publish(bus, 'poison', -1, { poison: true });
      await publish(bus, id, n);
    }
    let crashes = 0;
    for (let isDead = false; !isDead; ) {
      const worker = await workers.activate();
      worker.isDoomed = true;
      await until(
        'it crashes, or the event is dead',
        async () => {
          isDead = (await deadLetters.count(group)) > 0;
          return isDead || !worker.isRunning;
        },
        START_MS,
      );
      if (isDead) break;
      expect(await worker.exit).toEqual({ code: null, signal: 'SIGABRT' });
      crashes++;
      expect(crashes).toBeLessThanOrEqual(DELIVERY_LIMIT + 1);
    }
    expect(crashes).toBeGreaterThan(1);
    // the last one can be dead before the end of its process has been seen
    expect([crashes, crashes + 1]).toContain(book.read().calls.get('poison'));
    expect(book.calls.get('poison')).toBeLessThanOrEqual(DELIVERY_LIMIT + 1);
    await until('the queue is empty', async () => (await waitingIn(own.node.url(), group)) === 0);
    const letters = await deadLetters.list(group);
    expect(letters.map(({ id }) => id)).toEqual(['poison']);
    expect(letters).toMatchObject([{ reason: 'delivery-limit', topic: 'work.do', payload: { poison: true } }]);
    await until('all others are handled', () => book.read().handled.size === OTHERS);
    expect([...book.handled.keys()].toSorted()).toEqual(others.toSorted());

    await workers.dispose(END_MS);
    await app.close();
    const { left, dead } = await drainQueues(own.node.url(), group);
    expect({ left: [...left], dead: [...dead] }).toEqual({ left: [], dead: ['poison'] });
    expect(book.read().unhandledRejections).toEqual([]);
  }, 180_000);

  it(`between the retry copy and the acknowledgement, ${KILLS} times: nothing is lost, one duplicate each`, async () => {
    const proxy = await new TcpProxy(own.node.url()).listen();
    try {
      const { app, bus } = await bootPublisher();
      const group = groupName();
      // holds one at a time, so that a copy has to wait; every even one fails at its first attempt
      const one = { prefetch: 1, concurrency: 1, handlerMs: 300, failOneOf: 2 };
      // no spare: one that starts, or waits, while the proxy swallows bytes would never get its own
      const workers = fleetOf('worker', 0, { ...one, url: withPort(own.node.url(), proxy.port) });
      await workers.start(1);
      const ids: string[] = [];
      const send = async (name: string, n: number): Promise<string> => {
        const id = `${name}-${n}`;
        ids.push(id);
        await publish(bus, id, n);
        return id;
      };
      for (let kill = 1; kill <= KILLS; kill++) {
        // its first retry in this process declares the queue for it
        const warm = await send('warm', 2 * kill);
        await until('it has retried', () => book.read().handled.has(warm), START_MS);
        await until('the queue is empty', async () => (await waitingIn(own.node.url(), group)) === 0);
        const thrown = book.thrown;
        const victim = await send('victim', 2 * kill);
        await until('it is begun', () => book.read().calls.has(victim), START_MS);
        proxy.blackhole('to-client');
        await until('its copy has come by the retry queue', async () => (await waitingIn(own.node.url(), group)) === 1);
        expect(book.read().thrown).toBe(thrown + 1);
        expect(book.handled.has(victim)).toBe(false);
        await workers.pick().kill();
        proxy.blackhole('none');
        await workers.activate();
        await send('other', 2 * kill + 1);
      }
      await until('all is handled', () => book.read().handled.size === ids.length, START_MS);
      await until('the copies, too', () => book.read().handlings === ids.length + KILLS, START_MS);
      expect(proxy.swallowed).toBeGreaterThan(0);
      for (const [id, times] of book.handled) expect([id, times]).toEqual([id, id.startsWith('victim') ? 2 : 1]);

      await workers.dispose(END_MS);
      await app.close();
      const { left, dead } = await drainQueues(own.node.url(), group, [RETRY_MS]);
      expect({ left: [...left], dead: [...dead] }).toEqual({ left: [], dead: [] });
      expect(book.read().handlings).toBe(ids.length + KILLS);
      expect(book.unhandledRejections).toEqual([]);
    } finally {
      await fleet?.dispose(END_MS);
      await proxy.close();
    }
  }, 90_000);
});
