import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import {
  BrokerBlockedError,
  BusClosedError,
  type Connection,
  EVENT_BUS_CONNECTION,
  PublishTimeoutError,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import {
  groupOf,
  heldOf,
  orderListener,
  outcomeOf,
  pendingOf,
  range,
  storedEvent,
  warnings,
  withFakeBroker,
} from './harness/fake-broker.lab.js';

const TIMEOUT_MS = 500;
const SLACK_MS = 1_000;

describe('a broker that blocks publishers', () => {
  it(
    'publishes reject as blocked in time, consumers go on, and all works when it stops',
    withFakeBroker(async ({ lab, broker }) => {
      const seen = new Log<unknown>('events');
      const { app, bus } = await lab.boot({ providers: [orderListener(seen)] });
      const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
      const states: string[] = [];
      connection.onStateChange((state) => states.push(state));
      broker.linkTo('publish').block('low on memory');
      await until('it is blocked', () => connection.state === 'blocked');
      expect(bus.status).toBe('degraded');

      const outcomes = await Promise.all(
        range(10).map((n) => outcomeOf(bus.publish('orders.no', n, { timeoutMs: TIMEOUT_MS }))),
      );
      for (const { error, ms } of outcomes) {
        expect(error).toBeInstanceOf(BrokerBlockedError);
        expect(error).toMatchObject({ code: 'BROKER_BLOCKED', retryable: true });
        expect(ms).toBeLessThanOrEqual(TIMEOUT_MS + SLACK_MS);
      }
      expect(broker.ids('orders.no')).toEqual([]);
      expect(pendingOf(bus)).toBe(0);

      for (const n of range(20)) broker.store.queue(groupOf(lab)).push(storedEvent(n));
      await seen.reach(20);
      await until('all are acknowledged', () => heldOf(broker, groupOf(lab)) === 0);
      expect(broker.got('BasicAck')).toHaveLength(20);

      const waiting = bus.publish('orders.waits', 'waited');
      broker.linkTo('publish').unblock();
      expect(await bounded(waiting, 1_000, 'the publish that waited')).toMatchObject({ routed: true });
      await seen.reach(21);
      expect(bus.status).toBe('up');
      expect(states).toEqual(['blocked', 'up']);
      expect(warnings(lab).filter((line) => /blocks publishers|accepts publishers again/.test(line))).toHaveLength(2);
      expect(broker.gave('ConnectionBlocked')).toHaveLength(1);
    }),
  );

  it(
    'what it had taken and not confirmed is of unknown outcome, not blocked',
    withFakeBroker(async ({ lab, broker }) => {
      broker.on('BasicPublish', ({ message }) => message?.routingKey === 'orders.lost');
      const { app, bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
      const sent = outcomeOf(bus.publish('orders.lost', 1, { timeoutMs: TIMEOUT_MS }));
      await until('it has come', () => broker.ids('orders.lost').length === 1);
      broker.linkTo('publish').block('low on disk');
      await until('it is blocked', () => app.get<Connection>(EVENT_BUS_CONNECTION).state === 'blocked');
      const { error } = await sent;
      expect(error).toBeInstanceOf(PublishTimeoutError);
      expect(error).toMatchObject({ sent: true });
    }),
  );

  it(
    'and then loses the connection: the next one is not blocked, and what waited is sent',
    withFakeBroker(async ({ lab, broker }) => {
      const { app, bus } = await lab.boot({ providers: [orderListener(new Log<unknown>('events'))] });
      const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
      broker.linkTo('publish').block('low on memory');
      await until('it is blocked', () => connection.state === 'blocked');
      const waiting = bus.publish('orders.waits', 1);
      broker.linkTo('publish').reset();
      expect(await bounded(waiting, 5_000, 'the publish that waited')).toMatchObject({ routed: true });
      await until('it is up', () => bus.status === 'up');
      expect(broker.connections).toBe(3);
    }),
  );

  it(
    'close() ends by its deadline, and what could not be sent is told',
    withFakeBroker(async ({ lab, broker }) => {
      const deadlineMs = 1_000;
      const { app, bus } = await lab.boot({
        options: { shutdown: { deadlineMs } },
        providers: [orderListener(new Log<unknown>('events'))],
      });
      for (const link of broker.links) link.block('low on memory');
      await until('it is blocked', () => app.get<Connection>(EVENT_BUS_CONNECTION).state === 'blocked');
      const waiting = range(5).map((n) => outcomeOf(bus.publish('orders.no', n, { timeoutMs: 60_000 })));
      const { error, ms } = await outcomeOf(app.close());
      expect(error).toBeUndefined();
      expect(ms).toBeLessThanOrEqual(deadlineMs + 500);
      for (const outcome of await bounded(Promise.all(waiting), 100, 'the publishes')) {
        expect(outcome.error).toBeInstanceOf(BusClosedError);
      }
      expect(broker.ids('orders.no')).toEqual([]);
      await until('no connection is left', () => broker.links.size === 0);
    }),
  );
});
