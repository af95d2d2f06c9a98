import 'reflect-metadata';
import { describe, expect, it, jest } from '@jest/globals';
import {
  type Connection,
  ConnectionError,
  EVENT_BUS_CONNECTION,
  type EventBusModuleOptions,
  type EventBusService,
  type SubscribeOptions,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, quiet, until } from '../../lib/testing/contract/until.js';
import type { Call, FakeBroker } from './harness/fake-broker.js';
import { quickOptions, withFakeBroker } from './harness/fake-broker.lab.js';

const RECOVERED_MS = 5_000;
const SUBSCRIBE_MS = 500;

const namesOf = (calls: readonly { readonly fields: Readonly<Record<string, unknown>> }[]): readonly string[] =>
  calls.map(({ fields }) => String(fields.queue));

/** Private queues that were ever declared, in order. */
function privatesOf(broker: FakeBroker): readonly string[] {
  return [...new Set(namesOf(broker.got('QueueDeclare')).filter((name) => name.includes('.private.')))];
}

/** Those that are there now. */
function presentOf(broker: FakeBroker): readonly string[] {
  return privatesOf(broker).filter((name) => broker.store.find(name) !== undefined);
}

/** Takes the channel of the one private consumer away, and nothing else. @returns the name of its queue */
function closeItsChannel(broker: FakeBroker): string {
  const [queue = '', ...others] = presentOf(broker);
  expect(others).toEqual([]);
  const [consumer] = broker.store.consumersOf(queue);
  if (!consumer) throw new Error(`Nobody consumes "${queue}".`);
  consumer.channel.close(406, 'PRECONDITION_FAILED - delivery acknowledgement timed out');
  return queue;
}

/** Another queue than `former` is consumed. */
async function consumesAgain(broker: FakeBroker, former: string): Promise<void> {
  await until(
    'it consumes again',
    () => presentOf(broker).some((name) => name !== former && broker.store.consumersOf(name).length === 1),
    RECOVERED_MS,
  );
}

/** Subscribes privately. @returns what it handles */
async function subscribed(bus: EventBusService, options: SubscribeOptions = {}) {
  const seen = new Log<unknown>('events');
  const subscription = await bus.subscribe('orders.*', (payload) => seen.add(payload), options);
  return { seen, subscription };
}

/** Runs `work`. @returns the rejections in it of which nobody heard */
async function unheardIn(work: () => Promise<void>): Promise<readonly unknown[]> {
  const unheard: unknown[] = [];
  const add = (reason: unknown): void => void unheard.push(reason);
  process.on('unhandledRejection', add);
  try {
    await work();
    await quiet();
  } finally {
    process.off('unhandledRejection', add);
  }
  return unheard;
}

describe('a private subscription whose channel alone is closed by the broker', () => {
  it(
    'consumes again, tells of the gap, and leaves no queue behind',
    withFakeBroker(async ({ lab, broker }) => {
      const { bus } = await lab.boot();
      const onGap = jest.fn();
      const { seen, subscription } = await subscribed(bus, { onGap });
      await bus.publish('orders.created', 1);
      await seen.reach(1);
      expect(onGap).not.toHaveBeenCalled();

      const formers: string[] = [];
      for (const round of [1, 2, 3]) {
        const former = closeItsChannel(broker);
        formers.push(former);
        await consumesAgain(broker, former);
        await until('it is told of the gap', () => onGap.mock.calls.length === round);
        await bus.publish('orders.created', round + 1);
        await seen.reach(round + 1);
        expect(namesOf(broker.got('QueueDelete'))).toEqual(formers);
        expect(presentOf(broker)).toHaveLength(1);
      }
      expect(seen.items).toEqual([1, 2, 3, 4]);
      expect(onGap).toHaveBeenCalledTimes(3);
      // the connection was never lost
      expect(broker.connections).toBe(2);

      await subscription.cancel();
      expect(presentOf(broker)).toEqual([]);
      expect(privatesOf(broker)).toHaveLength(4);
      expect(bus.stats().groups).toEqual({});
    }),
  );

  it(
    'and is cancelled before it consumes again: leaves no queue behind either',
    withFakeBroker(async ({ lab, broker }) => {
      const { bus } = await lab.boot();
      const { subscription } = await subscribed(bus);
      closeItsChannel(broker);
      await until('it is recovering', () => subscription.state === 'recovering');
      await subscription.cancel();
      await until('no queue is left', () => presentOf(broker).length === 0);
      // nor comes one
      await quiet(500);
      expect(presentOf(broker)).toEqual([]);
      expect(bus.stats().groups).toEqual({});
    }),
  );

  const failures: readonly (readonly [string, () => void])[] = [
    [
      'throws',
      () => {
        throw new RangeError('my own');
      },
    ],
    ['rejects', (() => Promise.reject(new RangeError('my own'))) as () => void],
  ];

  it.each(failures)('has an onGap that %s: it is said, and consuming goes on', async (_, onGap) => {
    await withFakeBroker(async ({ lab, broker }) => {
      const { bus } = await lab.boot();
      const { seen } = await subscribed(bus, { onGap });
      const unheard = await unheardIn(async () => {
        const former = closeItsChannel(broker);
        await consumesAgain(broker, former);
        await until('it is said', () => lab.lines.some((line) => line.startsWith('error ')));
        await bus.publish('orders.created', 1);
        await seen.reach(1);
        await consumesAgain(broker, closeItsChannel(broker));
        await bus.publish('orders.created', 2);
        expect(await seen.settle(2)).toEqual([1, 2]);
      });
      expect(unheard).toEqual([]);
      const errors = lab.lines.filter((line) => line.startsWith('error '));
      expect(errors).toEqual(['error onGap failed: RangeError: my own', 'error onGap failed: RangeError: my own']);
      expect(presentOf(broker)).toHaveLength(1);
      await until('it is up', () => bus.status === 'up');
    })();
  });
});

it(
  'a listener of the connection that throws: it is said, and the reconnect works all the same',
  withFakeBroker(async ({ lab, broker }) => {
    const { app, bus } = await lab.boot();
    const onGap = jest.fn();
    const { seen } = await subscribed(bus, { onGap });
    const states: string[] = [];
    const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
    connection.onStateChange(() => {
      throw new RangeError('my own');
    });
    connection.onStateChange((state) => states.push(state));
    const unheard = await unheardIn(async () => {
      for (const purpose of ['consume', 'publish'] as const) {
        const { connections } = broker;
        broker.linkTo(purpose).reset();
        await until('it is down', () => states.at(-1) !== 'up' && states.length > 0);
        await until('it is up again', () => broker.connections > connections && bus.status === 'up', RECOVERED_MS);
        await bus.publish('orders.created', purpose);
        await seen.reach(purpose === 'consume' ? 1 : 2);
      }
    });
    expect(unheard).toEqual([]);
    expect(seen.items).toEqual(['consume', 'publish']);
    expect(onGap).toHaveBeenCalledTimes(1);
    expect(states.filter((state) => state === 'up')).toHaveLength(2);
    const said = lab.lines.filter((line) => line.startsWith('error '));
    expect(said).toHaveLength(states.length);
    expect(new Set(said)).toEqual(new Set(["error A listener of the connection's state failed: RangeError: my own"]));
  }),
);

describe('a subscription that could not begin in time', () => {
  const background = { startup: { mode: 'background', timeoutMs: SUBSCRIBE_MS } } as const;
  const optionsOf = (broker: FakeBroker): EventBusModuleOptions => quickOptions(broker.url, background);

  /** Subscribes to `orders.*`, which fails. @returns what its handler gets all the same */
  async function late(bus: EventBusService, options: SubscribeOptions): Promise<readonly unknown[]> {
    const got: unknown[] = [];
    const subscribing = bus.subscribe('orders.*', (payload) => void got.push(payload), options);
    await expect(bounded(subscribing, SUBSCRIBE_MS + 1_000, 'the subscription')).rejects.toBeInstanceOf(
      ConnectionError,
    );
    await until('it is undone', () => Object.keys(bus.stats().groups).length === 0, 2_000);
    return got;
  }

  it(
    'because the broker was away: nobody consumes when it comes, and the group is free for other patterns',
    withFakeBroker(async ({ lab, broker }) => {
      const group = 'mail';
      broker.mute(true);
      const { bus } = await lab.boot({ options: optionsOf(broker) });
      const got = await late(bus, { group });
      const lost = await late(bus, {});

      broker.mute(false);
      await until('it is up', () => bus.status === 'up', RECOVERED_MS);
      await bus.publish('orders.created', 1, { unroutable: 'ignore' });
      expect(broker.store.consumersOf(group)).toEqual([]);
      expect(broker.got('BasicConsume')).toEqual([]);
      expect(bus.stats().groups).toEqual({});

      const seen = new Log<unknown>('events');
      await bus.subscribe('invoices.*', (payload) => seen.add(payload), { group });
      expect(broker.store.consumersOf(group)).toHaveLength(1);
      await bus.publish('orders.created', 2, { unroutable: 'ignore' });
      await bus.publish('invoices.created', 3);
      expect(await seen.settle(1)).toEqual([3]);
      expect([got, lost]).toEqual([[], []]);
      expect(bus.status).toBe('up');
    }),
  );

  const kinds: readonly (readonly [string, SubscribeOptions])[] = [
    ['shared', { group: 'mail' }],
    ['private', {}],
  ];

  it.each(kinds)('because a queue was declared too late, %s: nobody consumes it then', async (_, options) => {
    await withFakeBroker(async ({ lab, broker }) => {
      const { bus } = await lab.boot({ options: optionsOf(broker) });
      await until('it is up', () => bus.status === 'up', RECOVERED_MS);
      const held: Call[] = [];
      const release = broker.on('QueueDeclare', (call) => {
        held.push(call);
        return true;
      });
      const got: unknown[] = [];
      const subscribing = bus.subscribe('orders.*', (payload) => void got.push(payload), options);
      await expect(bounded(subscribing, SUBSCRIBE_MS + 1_000, 'the subscription')).rejects.toBeInstanceOf(
        ConnectionError,
      );
      expect(held.length).toBeGreaterThan(0);

      release();
      for (const { link, channel, fields } of held) {
        const queue = String(fields.queue);
        broker.store.declareQueue(queue, fields.exclusive === true ? link : undefined);
        channel.send('QueueDeclareOk', { queue, messageCount: 0, consumerCount: 0 });
      }
      await until('it is undone', () => Object.keys(bus.stats().groups).length === 0, RECOVERED_MS);
      await until('no private queue is left', () => presentOf(broker).length === 0, RECOVERED_MS);
      await bus.publish('orders.created', 1, { unroutable: 'ignore' });
      await quiet(500);
      expect(broker.got('BasicConsume')).toEqual([]);
      expect(presentOf(broker)).toEqual([]);
      expect(got).toEqual([]);
      expect(bus.status).toBe('up');
    })();
  });
});
