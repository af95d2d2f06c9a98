import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { EventBusError, UnroutableError } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { BrokerLoad, CONSERVED } from './harness/broker-load.js';
import { byHand } from './harness/by-hand.js';
import { warnings } from './harness/fake-broker.lab.js';
import { OwnBroker } from './harness/own-broker.js';

const RECOVERED_MS = 5_000;
const TIMEOUT_MS = 5_000;
const DELETIONS = 3;
const PUBLISHERS = 10;
const PREFETCH = 20;
const own = new OwnBroker();

own.suite('what is deleted under load', () => {
  it(`the exchange, ${DELETIONS} times: declared again, nothing hangs, nothing is lost`, async () => {
    const load = await BrokerLoad.begin(own.node, own.lab, { timeoutMs: TIMEOUT_MS, publishers: PUBLISHERS });
    for (let i = 0; i < DELETIONS; i++) {
      await byHand(own.node.url(), async (channel) => {
        // rejects if it is not there, as deleting does not
        await channel.checkExchange(own.lab.exchange);
        await channel.deleteExchange(own.lab.exchange);
      });
      await load.probe(RECOVERED_MS);
      await load.flows(100, RECOVERED_MS);
    }
    await byHand(own.node.url(), (channel) => channel.checkExchange(own.lab.exchange));
    for (const error of load.traffic.failed.values()) expect(error).toBeInstanceOf(EventBusError);
    expect(load.bus.status).toBe('up');
    expect(load.outages).toBe(0);
    expect(load.bus.stats().groups[load.group]).toMatchObject({ interrupted: 0 });
    expect(await load.end()).toEqual(CONSERVED);
  }, 60_000);

  it('the queue: declared again, consuming within 5 s, warned once, only what was in it is gone', async () => {
    const load = await BrokerLoad.begin(own.node, own.lab, {
      timeoutMs: TIMEOUT_MS,
      publishers: PUBLISHERS,
      // so that some are in it
      handlerMs: 30,
      pauseMs: 5,
      bus: { transport: own.node.url(), publish: { unroutable: 'reject' }, consume: { prefetch: PREFETCH } },
    });
    const { bus, traffic, group } = load;
    await until('some are in it', () => traffic.lost.length > 2 * PREFETCH);
    const deleted = performance.now();
    const { messageCount } = await byHand(own.node.url(), (channel) => channel.deleteQueue(group));
    expect(messageCount).toBeGreaterThan(0);
    await until('it is routed again', async () => {
      const error = await load.probe(RECOVERED_MS).catch((reason: unknown) => reason);
      if (error instanceof UnroutableError) return false;
      if (error) throw error;
      return true;
    });
    expect(performance.now() - deleted).toBeLessThanOrEqual(RECOVERED_MS);
    const newest = Math.max(...traffic.confirmed);
    await until('it is up', () => bus.status === 'up');
    expect(bus.stats().groups[group]).toMatchObject({ interrupted: 1 });
    expect(warnings(own.lab).filter((line) => line.includes(group))).toHaveLength(1);
    for (const error of traffic.failed.values()) expect(error).toBeInstanceOf(UnroutableError);

    await load.flows();
    await traffic.stop();
    const gone = traffic.lost.filter((n) => n <= newest);
    // in the queue, with the consumer, or on the way to either
    expect(gone.length).toBeLessThanOrEqual(messageCount + PREFETCH + PUBLISHERS);
    for (const n of gone) traffic.confirmed.delete(n);
    expect(await load.end()).toEqual(CONSERVED);
  }, 60_000);
});
