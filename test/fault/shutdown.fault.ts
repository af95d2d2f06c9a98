import 'reflect-metadata';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { EventBusError, type EventBusModuleOptions, EventBusService, OnEvent } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { handlesLeft, openHandles } from './harness/open-handles.js';
import { OwnBroker } from './harness/own-broker.js';
import { Traffic } from './harness/traffic.js';

const DEADLINE_MS = 2_000;
const GRACE_MS = 1_000;
const ALL_MEMORY = '0.4';
const NO_MEMORY = '0.00001';
const own = new OwnBroker();

let before: ReturnType<typeof openHandles>;

interface Fault {
  readonly name: string;
  /** Resolves when it has happened. */
  readonly begin: (bus: EventBusService) => Promise<void>;
  readonly end: () => Promise<void>;
  /** What the service sees of it before it is closed. */
  readonly noticed?: 'down' | 'degraded';
}

/** Of what was confirmed. */
interface Loss {
  readonly lost: number;
  readonly unrouted: number;
}

const NOTHING: Loss = { lost: 0, unrouted: 0 };
const down = { noticed: 'down' } as const;
const silence = async (): Promise<void> => {
  await own.door.turn('silent');
  expect(own.door.freeze()).toBe(2);
};
const refusal = async (): Promise<void> => {
  await own.door.turn('reset');
  expect(own.door.cut()).toBe(2);
};
const open = (): Promise<void> => own.door.turn('forward');
const none = async (): Promise<void> => undefined;

const faults: readonly Fault[] = [
  { name: 'in peace', begin: none, end: none },
  { name: 'its broker was killed just now', begin: () => own.node.kill(), end: restart },
  { name: 'its broker was killed, and it knows', begin: () => own.node.kill(), end: restart, ...down },
  { name: 'its connections are refused just now', begin: refusal, end: open },
  { name: 'its connections are refused, and it knows', begin: refusal, end: open, ...down },
  { name: 'the network swallows everything', begin: silence, end: open },
  { name: 'its broker is frozen', begin: async () => own.node.pause(), end: async () => own.node.resume() },
  {
    name: 'its broker blocks publishers',
    begin: () => memory(NO_MEMORY),
    end: () => memory(ALL_MEMORY),
    noticed: 'degraded',
  },
];

async function memory(watermark: string): Promise<void> {
  await own.node.ctl('set_vm_memory_high_watermark', watermark);
}

async function restart(): Promise<void> {
  await own.node.restart();
}

const options = (over: EventBusModuleOptions = {}): EventBusModuleOptions => ({
  transport: own.door.url(),
  shutdown: { deadlineMs: DEADLINE_MS },
  consume: { concurrency: 10, retry: false },
  ...over,
});

/** Closed once, or more often at once: each ends by the deadline, and nothing of it is left. */
async function closes(app: TestingModule, times = 1): Promise<void> {
  const begun = Date.now();
  const ends = Array.from({ length: times }, () => app.close());
  const all = Promise.all(ends);
  await bounded(all, DEADLINE_MS + 10_000, 'close');
  expect(Date.now() - begun).toBeLessThanOrEqual(DEADLINE_MS + GRACE_MS);
  expect(app.get(EventBusService).status).toBe('closed');
  await until('its connections are gone', () => own.door.connections === 0, 500);
  // what still goes from the door to the broker is not its concern
  own.door.cut();
  expect(await handlesLeft(before)).toEqual([]);
}

/** No promise is left open, none settled late, and each that was rejected was so by one of our own errors. */
async function assertSettled(traffic: Traffic): Promise<void> {
  await bounded(traffic.stop(), 500, 'settling all publishes');
  const { pending, late } = traffic;
  expect({ pending, late }).toEqual({ pending: 0, late: 0 });
  const strange = [...traffic.failed.values()].filter((error) => !(error instanceof EventBusError));
  expect(strange).toEqual([]);
}

/** Closed in the middle of it. @returns what neither it nor another application after it has handled */
async function lostByClosing({ begin, end, noticed }: Fault, times = 1): Promise<Loss> {
  const traffic = new Traffic({ publishers: 50, pauseMs: 1, handlerMs: 40, timeoutMs: 30_000 });
  const { app, bus } = await own.lab.boot({ options: options(), providers: [traffic.listener()] });
  await own.node.settleQueues();
  traffic.start(bus);
  await until('it is under load', () => traffic.handled.size > 100);
  await begin(bus);
  try {
    if (noticed) await until(`it is ${noticed}`, () => bus.status === noticed);
    if (begin !== none) await until('publishes wait', () => traffic.pending === 50);
    await closes(app, times);
    await assertSettled(traffic);
    await expect(bounded(app.close(), 500, 'one more close')).resolves.toBeUndefined();
  } finally {
    await end();
  }
  expect(own.node.isRunning).toBe(true);
  const handled = traffic.handled.size;
  await quiet(100);
  expect(traffic.handled.size).toBe(handled);
  await own.lab.boot({ options: options(), providers: [traffic.hurry().listener()] });
  await until('all is handled', () => traffic.lost.length === 0).catch(() => undefined);
  expect(traffic.confirmed.size).toBeGreaterThan(100);
  return { lost: traffic.lost.length, unrouted: traffic.unrouted };
}

own.suite('an application that is closed', () => {
  beforeEach(async () => {
    before = openHandles();
  });

  it.each(faults)(
    'under load, when $name: ends by its deadline, every publish is answered, nothing is lost',
    async (fault) => {
      expect(await lostByClosing(fault)).toEqual(NOTHING);
    },
    90_000,
  );

  it.each(faults)(
    'twice at once, when $name: both end by the deadline, every publish is answered, nothing is lost',
    async (fault) => {
      expect(await lostByClosing(fault, 2)).toEqual(NOTHING);
    },
    90_000,
  );

  // a door between them would answer the end of a socket that such a broker does not read
  it.each(faults.filter(({ name }) => /blocks|frozen/.test(name)))(
    'without anything between, when $name: no socket is left that would keep its process alive',
    async ({ begin, end, noticed }) => {
      const { app, bus } = await own.lab.boot({ options: options({ transport: own.node.url() }) });
      await begin(bus);
      try {
        const publish = bus.publish('orders.created', 1).catch((error: unknown) => error);
        if (noticed) await until(`it is ${noticed}`, () => bus.status === noticed);
        await bounded(app.close(), DEADLINE_MS + GRACE_MS, 'close');
        expect(await publish).toMatchObject({ code: 'BUS_CLOSED' });
        expect(await handlesLeft(before)).toEqual([]);
      } finally {
        await end();
      }
    },
    60_000,
  );

  it('with a handler that never ends: by the deadline, and another application gets its event', async () => {
    const started = new Log<number>('starts');
    const signals: AbortSignal[] = [];
    @Injectable()
    class StuckListener {
      @OnEvent('stuck.*')
      async on(n: number, { signal }: { readonly signal: AbortSignal }): Promise<void> {
        started.add(n);
        signals.push(signal);
        if (signals.length === 1) await new Promise<never>(() => undefined);
      }
    }
    const { app, bus } = await own.lab.boot({ options: options(), providers: [StuckListener] });
    await bus.publish('stuck.go', 1);
    await started.reach(1);
    await closes(app);
    expect(signals[0]?.aborted).toBe(true);
    await own.lab.boot({ options: options(), providers: [StuckListener] });
    expect(await started.settle(2)).toEqual([1, 1]);
  });

  describe('before it is up', () => {
    it.each(['silent', 'reset', 'closed'] as const)('in the background, its broker is %s', async (state) => {
      await own.door.turn(state);
      before = openHandles();
      const booted = own.lab.boot({ options: options({ startup: { mode: 'background' } }) });
      const { app, bus } = await bounded(booted, 1_000, 'the boot');
      const publishes = Array.from({ length: 50 }, (_, n) => bus.publish('orders.created', n).catch((e: unknown) => e));
      await until('it tries', () => state === 'closed' || own.door.arrivals.length >= 2);
      await closes(app, 2);
      const outcomes = await bounded(Promise.all(publishes), 500, 'settling all publishes');
      expect(outcomes).toMatchObject(Array(50).fill({ code: 'BUS_CLOSED' }));
      const tries = own.door.arrivals.length;
      await quiet(1_000);
      expect(own.door.arrivals).toHaveLength(tries);
    });

    it.each(['silent', 'reset'] as const)(
      'while it waits for its broker, which is %s: when that wait ends',
      async (state) => {
        await own.door.turn(state);
        const startup = { timeoutMs: 1_000 };
        const app = await own.lab.compile({ options: options({ startup }) });
        const booting = app.init().catch((error: unknown) => error);
        await until('it tries', () => own.door.arrivals.length >= 2);
        const closing = app.close();
        expect(await bounded(booting, startup.timeoutMs + GRACE_MS, 'the boot')).toMatchObject({
          code: expect.stringMatching(/^(CONNECTION|BUS_CLOSED)$/),
        });
        await bounded(closing, DEADLINE_MS + GRACE_MS, 'close');
        await closes(app);
        const tries = own.door.arrivals.length;
        await quiet(1_000);
        expect(own.door.arrivals).toHaveLength(tries);
      },
    );
  });

  it('while it connects for the first time: nothing is left behind, however far it was', async () => {
    for (const delay of [0, 1, 2, 5, 10, 20, 40, 80, 160]) {
      before = openHandles();
      const traffic = new Traffic();
      const { app } = await own.lab.boot({
        options: options({ startup: { mode: 'background' } }),
        providers: [traffic.listener()],
      });
      await quiet(delay);
      const begun = Date.now();
      await closes(app);
      // the broker is well: there is nothing to wait for
      expect({ delay, tookLong: Date.now() - begun > GRACE_MS }).toEqual({ delay, tookLong: false });
    }
    expect(own.lab.lines.filter((line) => line.startsWith('error '))).toEqual([]);
  });
});
