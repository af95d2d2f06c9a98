import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import type { EventBusModuleOptions } from '../../lib/index.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import { RabbitMqLink } from '../../lib/transports/rabbitmq/rabbitmq.link.js';
import { resolveRabbitMqOptions } from '../../lib/transports/rabbitmq/rabbitmq.options.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { Lab } from '../support/lab.js';
import { Door, type DoorState } from './harness/door.js';
import { handlesLeft, openHandles } from './harness/open-handles.js';
import { Traffic } from './harness/traffic.js';

const onRabbit = (await isReachable(RABBITMQ)) ? describe : describe.skip;
const FAILOVER_MS = 5_000;
const [FLAPS, FLAP_MS] = process.env.FAULTS === 'full' ? [30, 1_000] : [10, 750];
const CLIENTS = 50;
const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** Doors to one and the same broker: what one takes in the other gives out, so that nothing may be lost. */
async function withDoors(
  states: readonly DoorState[],
  test: (doors: readonly Door[], lab: Lab, options: EventBusModuleOptions) => Promise<void>,
): Promise<void> {
  const doors = await Door.openMany(RABBITMQ.url, states.length);
  const lab = new Lab(RABBITMQ.url);
  try {
    await Promise.all(doors.map((door, i) => door.turn(states[i] as DoorState)));
    const urls = doors.map((door) => door.url());
    await test(doors, lab, { transport: { type: 'rabbitmq', urls, heartbeatMs: 1_000 } });
  } finally {
    await lab.dispose();
    await Promise.all(doors.map((door) => door.turn('closed')));
  }
}

/** Everything that was confirmed has been handled, and no publish was refused or settled late. */
async function assertNothingLost(traffic: Traffic): Promise<void> {
  await bounded(traffic.stop(), 15_000, 'settling all publishes');
  await until('all is handled', () => traffic.lost.length === 0).catch(() => undefined);
  const { lost, failed, unrouted, pending, late } = traffic;
  expect({ lost, failed: [...failed], unrouted, pending, late }).toEqual({
    lost: [],
    failed: [],
    unrouted: 0,
    pending: 0,
    late: 0,
  });
  expect(traffic.confirmed.size).toBeGreaterThan(100);
}

onRabbit('several addresses', () => {
  it.each<DoorState>(['closed', 'reset', 'silent'])(
    'the first is %s at the start: boots by the second',
    async (state) => {
      await withDoors([state, 'forward'], async ([first, second], lab, options) => {
        const before = Date.now();
        const traffic = new Traffic();
        const { bus } = await bounded(lab.boot({ options, providers: [traffic.listener()] }), FAILOVER_MS, 'the boot');
        expect(Date.now() - before).toBeLessThan(FAILOVER_MS);
        // a closed door does not learn who came
        expect(first?.arrivals.length).toBe(state === 'closed' ? 0 : 2);
        expect(second?.connections).toBe(2);
        expect(bus.status).toBe('up');
        traffic.start(bus);
        await until('events flow', () => traffic.handled.size > 100);
        await assertNothingLost(traffic);
      });
    },
  );

  const deaths: readonly (readonly [string, (door: Door) => Promise<number>])[] = [
    ['closes', async (door) => shut(door, 'closed')],
    ['resets', async (door) => shut(door, 'reset')],
    [
      'falls silent',
      async (door) => {
        await door.turn('silent');
        return door.freeze();
      },
    ],
  ];

  it.each(deaths)('the first %s under load: the second takes over, and nothing is lost', async (_, die) => {
    await withDoors(['forward', 'forward'], async ([first, second], lab, options) => {
      const traffic = new Traffic();
      const { bus } = await lab.boot({ options, providers: [traffic.listener()] });
      traffic.start(bus);
      await until('it is under load', () => traffic.handled.size > 200);
      expect([first?.connections, second?.connections]).toEqual([2, 0]);
      expect(await die(first as Door)).toBe(2);
      const died = performance.now();
      const { size } = traffic.confirmed;
      await until('it is up', () => second?.connections === 2 && bus.status === 'up', FAILOVER_MS);
      await until('new events are confirmed', () => traffic.confirmed.size > size + 20, FAILOVER_MS);
      await until('new events are handled', () => traffic.lastHandled > died + 100, FAILOVER_MS);
      expect(performance.now() - died).toBeLessThan(FAILOVER_MS);
      await assertNothingLost(traffic);
    });
  });

  it('both are away, then the second is back: works again by itself, and nothing is lost', async () => {
    await withDoors(['forward', 'forward'], async ([first, second], lab, options) => {
      const traffic = new Traffic({ timeoutMs: 20_000 });
      const { bus } = await lab.boot({ options, providers: [traffic.listener()] });
      traffic.start(bus);
      await until('it is under load', () => traffic.handled.size > 200);
      await Promise.all([shut(first as Door, 'reset'), shut(second as Door, 'reset')]);
      await until('it is down', () => bus.status === 'down');
      const tries = (second as Door).arrivals.length;
      await until('it tries', () => (second as Door).arrivals.length > tries + 4, 15_000);
      await second?.turn('forward');
      await until('it is up', () => bus.status === 'up', FAILOVER_MS);
      expect([first?.connections, second?.connections]).toEqual([0, 2]);
      // and back, when the roles change
      const back = traffic.confirmed.size;
      await first?.turn('forward');
      await shut(second as Door, 'closed');
      await until('it is up again', () => first?.connections === 2 && bus.status === 'up', FAILOVER_MS);
      await until('new events are confirmed', () => traffic.confirmed.size > back + 100, FAILOVER_MS);
      await assertNothingLost(traffic);
    });
  });
});

async function shut(door: Door, state: 'closed' | 'reset'): Promise<number> {
  const { connections } = door;
  await door.turn(state);
  door.cut();
  return connections;
}

onRabbit('a fleet that waits', () => {
  const link = (door: Door, connectTimeoutMs: number): RabbitMqLink =>
    new RabbitMqLink(
      resolveRabbitMqOptions({ type: 'rabbitmq', url: door.url(), connectTimeoutMs }),
      'publish',
      'fleet',
      SILENT,
    );

  async function withFleet(
    connectTimeoutMs: number,
    test: (doors: readonly Door[], links: readonly RabbitMqLink[]) => Promise<void>,
  ): Promise<void> {
    const doors = await Door.openMany(RABBITMQ.url, CLIENTS);
    const links = doors.map((door) => link(door, connectTimeoutMs));
    try {
      for (const each of links) each.open();
      await until('all are up', () => links.every(({ state }) => state === 'up'));
      await test(doors, links);
    } finally {
      await Promise.all(links.map((each) => each.close(1_000)));
      await Promise.all(doors.map((door) => door.turn('closed')));
    }
  }

  it(`${CLIENTS} clients try again apart from each other, each one at a time, and are back soon`, async () => {
    await withFleet(3_000, async (doors, links) => {
      await Promise.all(doors.map((door) => door.turn('reset')));
      const cut = performance.now();
      for (const door of doors) expect(door.cut()).toBe(1);
      await quiet(8_000);
      const tries = doors.flatMap(({ arrivals }) => arrivals.slice(1).map((at) => at - cut));
      const bins = (width: number, from: number): readonly number[] => {
        const counts = Array<number>(Math.floor((8_000 - from) / width)).fill(0);
        for (const at of tries) {
          const bin = Math.floor((at - from) / width);
          if (bin >= 0 && bin < counts.length) counts[bin] = (counts[bin] ?? 0) + 1;
        }
        return counts;
      };
      for (const { arrivals, mostAtOnce } of doors) {
        expect(mostAtOnce).toBe(1);
        expect(arrivals.length - 1).toBeGreaterThanOrEqual(5);
        expect(arrivals.length - 1).toBeLessThanOrEqual(16);
      }
      // the pauses have grown to their largest: as many in each second as on average
      const seconds = bins(1_000, 3_000);
      const average = seconds.reduce((sum, count) => sum + count, 0) / seconds.length;
      expect(Math.max(...seconds)).toBeLessThanOrEqual(average + 10);
      // in step they would all come within 100 ms
      expect(Math.max(...bins(100, 3_000))).toBeLessThanOrEqual(CLIENTS / 2.5);
      await Promise.all(doors.map((door) => door.turn('forward')));
      await until('all are back', () => links.every(({ state }) => state === 'up'), 4_000);
      expect(doors.map(({ mostAtOnce }) => mostAtOnce)).toEqual(Array(CLIENTS).fill(1));
    });
  });

  it('the first tries after a common loss do not come all at once', async () => {
    await withFleet(3_000, async (doors) => {
      const cut = performance.now();
      await Promise.all(doors.map((door) => door.turn('reset')));
      for (const door of doors) door.cut();
      await until('each has tried', () => doors.every(({ arrivals }) => arrivals.length >= 2));
      const first = doors.map(({ arrivals }) => (arrivals[1] as number) - cut).toSorted((a, b) => a - b);
      const early = first.filter((at) => at < (first[0] as number) + 20);
      expect(early.length).toBeLessThanOrEqual(CLIENTS / 2);
    });
  });

  it('a try that is not answered ends before the next begins', async () => {
    await withFleet(200, async (doors, links) => {
      await Promise.all(doors.map((door) => door.turn('silent')));
      for (const door of doors) door.cut();
      await until('each has tried', () => doors.every(({ arrivals }) => arrivals.length >= 5), 15_000);
      expect(doors.map(({ mostAtOnce }) => mostAtOnce)).toEqual(Array(CLIENTS).fill(1));
      await Promise.all(doors.map((door) => door.turn('forward')));
      await until('all are back', () => links.every(({ state }) => state === 'up'), 5_000);
      expect(doors.map(({ mostAtOnce }) => mostAtOnce)).toEqual(Array(CLIENTS).fill(1));
    });
  });
});

onRabbit('a broker that comes and goes', () => {
  it.each<Exclude<DoorState, 'forward'>>(['closed', 'reset'])(
    `${FLAPS} times, %s in between: one connection for each link, nothing piles up, nothing is lost`,
    async (down) => {
      const before = openHandles();
      await withDoors(['forward'], async ([door], lab) => {
        const traffic = new Traffic({ timeoutMs: 30_000 });
        const transport = (door as Door).url();
        const { app, bus } = await lab.boot({ options: { transport }, providers: [traffic.listener()] });
        traffic.start(bus);
        await until('it is under load', () => traffic.handled.size > 100);
        const steady = openHandles();
        for (let flap = 0; flap < FLAPS; flap++) {
          await door?.turn(down);
          door?.cut();
          await quiet(FLAP_MS);
          await door?.turn('forward');
          await quiet(FLAP_MS);
        }
        // some rounds are over before it tries again
        expect((door as Door).arrivals.length).toBeGreaterThanOrEqual(2 + FLAPS / 3);
        await until('it is up', () => bus.status === 'up');
        const { size } = traffic.confirmed;
        await until('new events are confirmed', () => traffic.confirmed.size > size + 20);
        expect((door as Door).mostAtOnce).toBe(2);
        await assertNothingLost(traffic);
        expect(await handlesLeft(steady)).toEqual([]);
        await app.close();
      });
      expect(await handlesLeft(before)).toEqual([]);
    },
    4 * FLAPS * FLAP_MS + 60_000,
  );
});
