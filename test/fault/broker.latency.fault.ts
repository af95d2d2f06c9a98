import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { quiet, until } from '../../lib/testing/contract/until.js';
import { TcpProxy, withPort } from '../support/tcp-proxy.js';
import { BrokerLoad, CONSERVED } from './harness/broker-load.js';
import { OwnBroker } from './harness/own-broker.js';

/** One way: 100 ± 100 ms. */
const JITTER_MS = 200;
const SLOWEST_ROUND_TRIP_MS = 2 * JITTER_MS;
const WINDOW = 100;
/** What is used of the window at the very least. */
const USED = 0.8;
const TIMEOUT_MS = 10_000;
const RESETS = 3;
const MEASURED_MS = 2_500;
const BACK_MS = 15_000;
const own = new OwnBroker();

own.suite('a broker far away', () => {
  it(`whose connections are reset ${RESETS} times: in between the window is used, nothing is lost`, async () => {
    const proxy = await new TcpProxy(own.node.url()).listen();
    try {
      proxy.latency(0, JITTER_MS);
      const load = await BrokerLoad.begin(own.node, own.lab, {
        timeoutMs: TIMEOUT_MS,
        publishers: 2 * WINDOW,
        pauseMs: 1,
        handlerMs: 0,
        bus: {
          transport: withPort(own.node.url(), proxy.port),
          publish: { window: WINDOW, unroutable: 'reject' },
          consume: { prefetch: 4 * WINDOW, timeoutMs: 5_000 },
        },
      });
      const { bus, traffic } = load;
      const rates: number[] = [];
      for (let reset = 0; ; reset++) {
        const before = traffic.confirmed.size;
        await quiet(MEASURED_MS);
        rates.push((traffic.confirmed.size - before) / (MEASURED_MS / 1_000));
        if (reset === RESETS) break;
        expect(proxy.reset()).toBe(2);
        await until('it is down', () => bus.status === 'down');
        await until('it is up', () => bus.status === 'up', BACK_MS);
        await load.flows(WINDOW, BACK_MS);
      }
      expect(proxy.resets).toBe(2 * RESETS);
      expect(load.outages).toBeGreaterThanOrEqual(RESETS);
      const full = WINDOW / (SLOWEST_ROUND_TRIP_MS / 1_000);
      for (const rate of rates) expect(rate).toBeGreaterThanOrEqual(USED * full);
      expect(load.slowestMs).toBeGreaterThan(JITTER_MS);
      expect(traffic.failed.size).toBe(0);
      expect(await load.end()).toEqual(CONSERVED);
    } finally {
      await proxy.close();
    }
  }, 90_000);
});
