import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import {
  BusClosedError,
  type CacheEntry,
  Event,
  EventBusService,
  type EventContext,
  OnEvent,
  type SubscriptionCache,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { until } from '../../lib/testing/contract/until.js';
import { isReachable, RABBITMQ } from '../support/brokers.js';
import { withLab } from '../support/lab.js';
import { closedPort, TcpProxy, withPort } from '../support/tcp-proxy.js';

@Event('orders.created')
class OrderCreated {
  constructor(
    readonly id: string,
    readonly at = new Date(0),
    readonly note?: string,
  ) {}
}

@Event('orders.paid')
class OrderPaid {
  constructor(readonly id: string) {}
}

/** Pays each order. */
@Injectable()
class Cashier {
  @OnEvent('orders.created')
  pay(order: OrderCreated, context: EventContext): void {
    context.emit('orders.paid', new OrderPaid(order.id));
  }
}

const isRabbitUp = await isReachable(RABBITMQ);
const BUSES: readonly (readonly [string, string])[] = [
  ['memory', 'memory:'],
  ...(isRabbitUp ? ([[RABBITMQ.name, RABBITMQ.url]] as const) : []),
];

describe.each(BUSES)('a test that records, on %s', (_name, url) => {
  it(
    'waits for what the application does with an event, in one line for each step',
    withLab(url, async (lab) => {
      const { bus } = await lab.boot({ providers: [Cashier] });
      const events = await bus.record<{ readonly id: string }>('orders.*');
      const created: SubscriptionCache<OrderCreated> = await bus.record(OrderCreated);
      await bus.publish(new OrderCreated('1'));
      const both = await events.waitForMany([new OrderCreated('1'), new OrderPaid('1')], { mode: 'all-in-order' });
      expect([both.complete, both.indices]).toEqual([true, [0, 1]]);
      expect(both.entries.map(({ topic }) => topic)).toEqual(['orders.created', 'orders.paid']);
      const entry: CacheEntry<OrderCreated> = await created.waitForOne(new OrderCreated('1'));
      expect(entry.payload.id).toBe('1');
      const none = await events.waitForMany([new OrderPaid('2')], { mode: 'any', timeoutMs: 50 });
      expect(none).toEqual({ complete: false, indices: [], entries: [] });
    }),
  );

  it(
    'reads an application as a stream, until that closes',
    withLab(url, async (lab) => {
      const { app, bus } = await lab.boot({ providers: [Cashier] });
      const paid = await app.get(EventBusService).record<OrderPaid>('orders.paid', { capacity: 3 });
      const seen = new Log<string>('payments');
      const reading = (async () => {
        for await (const { payload } of paid) seen.add(payload.id);
      })();
      for (const id of ['1', '2', '3', '4']) await bus.publish(new OrderCreated(id));
      expect((await seen.settle(4)).toSorted()).toEqual(['1', '2', '3', '4']);
      await app.close();
      await reading;
      await expect(paid.get()).rejects.toBeInstanceOf(BusClosedError);
    }),
  );
});

(isRabbitUp ? describe : describe.skip)('a record over a lost connection', () => {
  it('tells of the gap, and goes on; who waits gets what comes afterwards', async () => {
    const port = await closedPort();
    const proxy = await new TcpProxy(RABBITMQ.url).listen(port);
    try {
      await withLab(withPort(RABBITMQ.url, port), async (lab) => {
        const { bus } = await lab.boot();
        const gaps = new Log<string>('gaps');
        const events = await bus.record<string>('orders.*', { onGap: () => gaps.add('gap') });
        await bus.publish('orders.created', 'before');
        await until('it is there', () => events.size === 1);
        const waiting = events.waitForMany(['before', 'after'], { mode: 'all-in-order' });
        proxy.drop();
        await gaps.reach(1);
        await bus.publish('orders.created', 'after');
        expect(await waiting).toMatchObject({ complete: true, indices: [0, 1] });
      })();
    } finally {
      await proxy.close();
    }
  });
});
