import 'reflect-metadata';
import { expect, it } from '@jest/globals';
import { EventBusError, type EventBusService, PublishTimeoutError } from '../../lib/index.js';
import { until } from '../../lib/testing/contract/until.js';
import { byHand, waitingIn } from './harness/by-hand.js';
import { OwnBroker } from './harness/own-broker.js';

const MANY = 10_000;
const own = new OwnBroker();

async function boot(): Promise<{ readonly bus: EventBusService; readonly queue: string; readonly alternate: string }> {
  const { lab, node } = own;
  const publish = { unroutable: 'alternate-exchange', timeoutMs: 30_000 } as const;
  const { bus } = await lab.boot({ options: { transport: node.url(), publish } });
  return { bus, queue: `${lab.exchange}.unroutable`, alternate: `${lab.exchange}.ae` };
}

/** Empties a queue with a plain client: the ids of its messages, in order. */
async function takeAll(queue: string): Promise<readonly string[]> {
  const ids: string[] = [];
  await byHand(own.node.url(), async (channel) => {
    const { messageCount } = await channel.checkQueue(queue);
    await channel.consume(queue, (message) => void ids.push(String(message?.properties.messageId)), { noAck: true });
    await until('the queue is empty', () => ids.length >= messageCount, 30_000);
  });
  return ids;
}

/** Publishes events numbered from `from`, at one time; gives the ids of those that were confirmed, and all errors. */
async function publishMany(bus: EventBusService, from: number, count: number) {
  const confirmed: string[] = [];
  const errors: unknown[] = [];
  await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      try {
        const { id, state, routed } = await bus.publish('nobody.cares', from + n, { id: String(from + n) });
        expect([state, routed]).toEqual(['confirmed', false]);
        confirmed.push(id);
      } catch (error) {
        errors.push(error);
      }
    }),
  );
  return { confirmed, errors };
}

const idsFrom = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => String(from + n));

own.suite('events that no group gets, kept behind the alternate exchange', () => {
  it(`${MANY} at one time: all of them are in its queue, in order`, async () => {
    const { bus, queue } = await boot();
    const { confirmed, errors } = await publishMany(bus, 0, MANY);
    expect(errors).toEqual([]);
    expect(confirmed).toHaveLength(MANY);
    expect(await waitingIn(own.node.url(), queue)).toBe(MANY);
    const left = await takeAll(queue);
    expect(left).toEqual(idsFrom(0, MANY));
    expect(bus.stats()).toMatchObject({ published: MANY, confirmed: MANY, failed: 0, unroutable: MANY });
  }, 60_000);

  it('its queue deleted by hand: declared again when something comes back, and nothing of that is lost', async () => {
    const { bus, queue } = await boot();
    await publishMany(bus, 0, 10);
    for (let round = 1; round <= 3; round++) {
      const from = round * 1_000;
      const { messageCount } = await byHand(own.node.url(), (channel) => channel.deleteQueue(queue));
      expect(messageCount).toBeGreaterThan(0);
      const { confirmed, errors } = await publishMany(bus, from, 1_000);
      expect(errors).toEqual([]);
      expect(confirmed).toHaveLength(1_000);
      const left = await takeAll(queue);
      expect(new Set(left)).toEqual(new Set(idsFrom(from, 1_000)));
      await publishMany(bus, 0, 10);
    }
    expect(bus.status).toBe('up');
  }, 60_000);

  it('the alternate exchange deleted by hand: declared again, nothing is lost', async () => {
    const { bus, queue, alternate } = await boot();
    await byHand(own.node.url(), async (channel) => {
      await channel.checkExchange(alternate);
      await channel.deleteExchange(alternate);
    });
    const { confirmed, errors } = await publishMany(bus, 0, 500);
    expect(errors).toEqual([]);
    expect(confirmed).toHaveLength(500);
    const left = await takeAll(queue);
    expect(new Set(left)).toEqual(new Set(idsFrom(0, 500)));
    await byHand(own.node.url(), (channel) => channel.checkExchange(alternate));
  }, 60_000);

  it('a queue of another kind in its place: the publish rejects with what is wrong', async () => {
    const { lab, node } = own;
    const queue = `${lab.exchange}.unroutable`;
    await byHand(node.url(), (channel) => channel.assertQueue(queue, { durable: true }));
    const { bus } = await lab.boot({ options: { transport: node.url() } });
    await expect(bus.publish('a', 1, { unroutable: 'alternate-exchange' })).rejects.toMatchObject({
      name: 'TopologyConflictError',
      message: expect.stringContaining(`Queue "${queue}" has x-`),
    });
    expect(await bus.publish('a', 1)).toMatchObject({ state: 'confirmed', routed: false });
    expect(bus.status).toBe('up');
  }, 60_000);

  it('the broker killed in between: what was confirmed is there, and all others reject with an error', async () => {
    const { bus, queue } = await boot();
    const publishing = publishMany(bus, 0, MANY);
    await until('some have come back', () => bus.stats().confirmed > 200);
    const before = bus.stats().confirmed;
    expect(before).toBeLessThan(MANY);
    await own.node.kill();
    await own.node.start();
    const { confirmed, errors } = await publishing;
    expect(confirmed.length).toBeGreaterThan(before);
    expect(confirmed.length + errors.length).toBe(MANY);
    for (const error of errors) expect(error).toBeInstanceOf(EventBusError);
    // in so much time nothing has to be given up
    expect(errors.filter((error) => !(error instanceof PublishTimeoutError))).toEqual([]);
    await own.node.settleQueues();
    const kept = new Set(await takeAll(queue));
    expect(confirmed.filter((id) => !kept.has(id))).toEqual([]);
  }, 120_000);
});
