import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { type Connection, EVENT_BUS_CONNECTION, PublishTimeoutError } from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, until } from '../../lib/testing/contract/until.js';
import { TcpProxy, withPort } from '../support/tcp-proxy.js';
import {
  type FakeLab,
  HEARTBEAT_MS,
  orderListener,
  outcomeOf,
  pendingOf,
  quickOptions,
  range,
  warnings,
  withFakeBroker,
} from './harness/fake-broker.lab.js';

const TIMEOUT_MS = 500;
const SLACK_MS = 1_000;
/** Two silent intervals, the one that had begun, and what a timer may be late. */
const DETECTED_MS = 3 * HEARTBEAT_MS + 250;
const RECOVERED_MS = 5_000;
const CLOSE_SLACK_MS = 500;

/** Between a bus and a fake broker. */
function withProxy(test: (parts: FakeLab & { readonly proxy: TcpProxy; readonly url: string }) => Promise<void>) {
  return withFakeBroker(async (parts) => {
    const proxy = await new TcpProxy(parts.broker.url).listen();
    try {
      await test({ ...parts, proxy, url: withPort(parts.broker.url, proxy.port) });
      // before the proxy, so that nobody learns of a closed connection from its end
      await parts.lab.dispose();
    } finally {
      await proxy.close();
    }
  });
}

/** Resolves with the time that went by until the bus knew that the broker is gone. */
async function detected(connection: Connection): Promise<number> {
  const begin = Date.now();
  await new Promise<void>((resolve) => {
    const stop = connection.onStateChange((state) => {
      if (state !== 'down') return;
      stop();
      resolve();
    });
  });
  return Date.now() - begin;
}

describe('a connection that swallows bytes while TCP stays open', () => {
  it.each(['both', 'to-client', 'to-broker'] as const)(
    '%s: noticed by the heartbeat, publishes settle in time, and it recovers by itself',
    async (which) => {
      await withProxy(async ({ lab, broker, proxy, url }) => {
        const seen = new Log<unknown>('events');
        const { app, bus } = await lab.boot({ options: quickOptions(url), providers: [orderListener(seen)] });
        const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
        await bus.publish('orders.created', 'before');
        await seen.reach(1);

        proxy.blackhole(which);
        // by the client, which hears nothing; or by the broker, which then closes
        const down = detected(connection);
        const lost = range(5).map((n) => outcomeOf(bus.publish('orders.lost', n, { timeoutMs: TIMEOUT_MS })));
        const patient = bus.publish('orders.patient', 'patient', { id: 'patient', timeoutMs: 20_000 });
        for (const { error, ms } of await Promise.all(lost)) {
          expect(error).toBeInstanceOf(PublishTimeoutError);
          expect(error).toMatchObject({ sent: true });
          expect(ms).toBeLessThanOrEqual(TIMEOUT_MS + SLACK_MS);
        }
        expect(proxy.swallowed).toBeGreaterThan(0);
        expect(broker.ids('orders.lost')).toHaveLength(which === 'to-client' ? 5 : 0);
        expect(await bounded(down, DETECTED_MS, 'the detection')).toBeLessThanOrEqual(DETECTED_MS);
        expect(bus.status).toBe('down');

        proxy.blackhole('none');
        const begin = Date.now();
        expect(await bounded(patient, RECOVERED_MS, 'the recovery')).toMatchObject({ routed: true });
        await until('it is up', () => bus.status === 'up', RECOVERED_MS);
        expect(Date.now() - begin).toBeLessThanOrEqual(RECOVERED_MS);
        await until('it is handled', () => seen.items.includes('patient'));
        // sent again, with the same id
        expect(new Set(broker.ids('orders.patient'))).toEqual(new Set(['patient']));
        expect(pendingOf(bus)).toBe(0);
        expect(warnings(lab).filter((line) => line.includes('is down, trying again'))).toHaveLength(2);
      })();
    },
  );

  it(
    'an idle one is noticed too',
    withProxy(async ({ lab, proxy, url }) => {
      const { app, bus } = await lab.boot({ options: quickOptions(url) });
      const connection = app.get<Connection>(EVENT_BUS_CONNECTION);
      const links = proxy.connections;
      proxy.blackhole('both');
      await bounded(detected(connection), DETECTED_MS, 'the detection');
      proxy.blackhole('none');
      await until('it is up', () => bus.status === 'up', RECOVERED_MS);
      expect(links).toBe(2);
      expect(proxy.swallowed).toBeGreaterThan(0);
    }),
  );

  it(
    'close() ends by its deadline',
    withProxy(async ({ lab, broker, proxy, url }) => {
      const deadlineMs = 1_000;
      const options = quickOptions(url, { shutdown: { deadlineMs } });
      const { app, bus } = await lab.boot({ options, providers: [orderListener(new Log<unknown>('events'))] });
      proxy.blackhole('both');
      const waiting = outcomeOf(bus.publish('orders.lost', 1, { timeoutMs: 60_000 }));
      const { error, ms } = await outcomeOf(app.close());
      expect(error).toBeUndefined();
      expect(ms).toBeLessThanOrEqual(deadlineMs + CLOSE_SLACK_MS);
      expect((await bounded(waiting, 100, 'the publish')).error).toBeDefined();
      expect(proxy.swallowed).toBeGreaterThan(0);
      expect(broker.got('ConnectionClose')).toEqual([]);
      await until('no connection is left', () => proxy.connections === 0);
    }),
  );
});

describe('a broker that never answers the handshake', () => {
  const handshakes = ['nothing at all', 'ConnectionStartOk', 'ConnectionOpen', 'ChannelOpen'] as const;

  it.each(handshakes)('not to %s: the boot fails in time, or waits and goes on by itself', async (unanswered) => {
    await withFakeBroker(async ({ lab, broker }) => {
      let isSilent = true;
      if (unanswered === 'nothing at all') broker.mute(true);
      else broker.on(unanswered, () => isSilent);
      const options = quickOptions(broker.url, { startup: { timeoutMs: 2_500 } });
      const { error, ms } = await outcomeOf(lab.boot({ options }));
      expect(error).toMatchObject({ code: expect.stringMatching(/CONNECTION|STARTUP/) as unknown });
      expect(ms).toBeLessThanOrEqual(2_500 + SLACK_MS);
      expect(broker.connections).toBeGreaterThanOrEqual(2);
      expect(broker.gave('ConnectionOpenOk').length > 0).toBe(unanswered === 'ChannelOpen');

      const { bus } = await lab.boot({ options: { ...options, startup: { mode: 'background' } } });
      const patient = bus.publish('orders.patient', 1, { timeoutMs: 25_000, unroutable: 'ignore' });
      const attempts = broker.connections;
      await until('it has tried again', () => broker.connections > attempts + (unanswered === 'ChannelOpen' ? 0 : 1));
      expect(bus.status).not.toBe('up');
      isSilent = false;
      broker.mute(false);
      expect(await bounded(patient, 15_000, 'the publish')).toMatchObject({ state: 'confirmed' });
      await until('it is up', () => bus.status === 'up', RECOVERED_MS);
    })();
  });
});

describe('a broker that stops to answer, but beats', () => {
  it(
    'a connection.close that is never answered: close() ends by its deadline, and leaves no connection',
    withFakeBroker(async ({ lab, broker }) => {
      const deadlineMs = 1_000;
      broker.on('ConnectionClose', () => true);
      const options = quickOptions(broker.url, { shutdown: { deadlineMs } });
      const { app, bus } = await lab.boot({ options, providers: [orderListener(new Log<unknown>('events'))] });
      await bus.publish('orders.created', 1);
      const { error, ms } = await outcomeOf(app.close());
      expect(error).toBeUndefined();
      expect(ms).toBeLessThanOrEqual(deadlineMs + CLOSE_SLACK_MS);
      expect(broker.got('ConnectionClose')).toHaveLength(2);
      await until('no connection is left', () => broker.links.size === 0);
    }),
  );

  it(
    'neither channel.close nor basic.cancel answered: the same',
    withFakeBroker(async ({ lab, broker }) => {
      const deadlineMs = 1_000;
      broker.on('ChannelClose', () => true);
      const options = quickOptions(broker.url, { shutdown: { deadlineMs } });
      const { app, bus } = await lab.boot({ options, providers: [orderListener(new Log<unknown>('events'))] });
      await bus.publish('orders.created', 1);
      broker.on('BasicCancel', () => true);
      const { error, ms } = await outcomeOf(app.close());
      expect(error).toBeUndefined();
      expect(ms).toBeLessThanOrEqual(deadlineMs + CLOSE_SLACK_MS);
      expect(broker.got('BasicCancel')).not.toHaveLength(0);
      await until('no connection is left', () => broker.links.size === 0);
    }),
  );
});
