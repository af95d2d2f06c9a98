import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { Test } from '@nestjs/testing';
// In your own application: from 'nestjs-event-bus/testing'.
import { EventBusTestHarness } from '../../lib/testing/index.js';
import { AppModule } from '../app.module.js';
import { OrderPlaced } from '../orders/orders.events.js';
import { OrdersService } from '../orders/orders.service.js';
import { MAILER_GROUP } from '../shop.config.js';
import './event-bus.matchers.js';

const SILENT: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined };

describe('the shop', () => {
  let harness: EventBusTestHarness<INestApplication>;

  beforeEach(async () => {
    jest.spyOn(console, 'log').mockImplementation(() => undefined); // the sample tells what it does
    // The application as it is. Whatever broker its options name, the bus runs in memory.
    const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(SILENT);
    harness = await EventBusTestHarness.create(builder, { createApp: (module) => module.createNestApplication() });
  });

  afterEach(() => harness.close());

  const place = (fields: Partial<OrderPlaced> = {}) =>
    harness.get(OrdersService).place({ sku: 'keyboard', quantity: 2, email: 'ada@shop.example', ...fields });

  it('reserves what is ordered, and mails it', async () => {
    const order = await place();
    await harness.settled(); // everything that follows from it has happened, too

    expect(harness.published(OrderPlaced)).toMatchObject([
      { payload: { orderId: order.id, quantity: 2 }, routed: true },
    ]);
    expect(harness).toHavePublished('stock.reserved', { orderId: order.id });
    expect(harness).not.toHavePublished('stock.rejected');
    expect(harness).toHaveHandled('stock.reserved', { orderId: order.id }, { group: MAILER_GROUP, times: 1 });
    expect(harness.get(OrdersService).find(order.id)).toMatchObject({ state: 'reserved', mailed: true });
  });

  it('waits for one event', async () => {
    const mailed = harness.waitFor('mail.sent', { kind: 'handled' });
    const order = await place();
    expect(await mailed).toMatchObject([{ payload: { orderId: order.id } }]);
  });

  it('is not told twice of the same order', async () => {
    const order = Object.assign(new OrderPlaced(), {
      orderId: '1',
      sku: 'mouse',
      quantity: 1,
      email: 'a@shop.example',
    });
    await harness.bus.publish(order);
    await harness.bus.publish(order);
    await harness.settled();
    expect(harness).toHavePublished('stock.reserved', { orderId: '1' }, { times: 2 });
  });

  it('never retries an order that is wrong', async () => {
    await harness.bus.publish('orders.placed', { orderId: '1', quantity: 'many' }, { type: 'orders.placed' });
    await harness.settled();
    expect(harness.deadLetters()).toMatchObject([{ topic: 'orders.placed', reason: 'validation', attempts: 1 }]);
    expect(harness).not.toHavePublished('stock.*');
  });

  it('tries a mail three times, then keeps it as a dead letter', async () => {
    await place({ email: 'eve@bounce.example' });
    await harness.settled();
    expect(harness.failed()).toHaveLength(1);
    expect(harness.pending).toMatchObject([{ topic: 'stock.reserved', group: MAILER_GROUP, attempt: 2 }]);

    await harness.advance(200); // nobody waits: what is due within that time runs now
    expect(harness.failed()).toHaveLength(2);

    await harness.runRetries(); // until nothing waits any more, whatever the delays are
    expect(harness).toHaveDeadLettered('stock.reserved', expect.objectContaining({ email: 'eve@bounce.example' }));
    expect(harness.deadLetters(MAILER_GROUP)).toMatchObject([
      { attempts: 3, reason: 'attempts-exhausted', error: { message: expect.stringContaining('550') } },
    ]);
    expect(harness).not.toHavePublished('mail.sent');
  });

  it('retries with the fake timers of Jest as well', async () => {
    // setImmediate must stay as it is: the transport in memory works by it
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
    try {
      await place({ email: 'eve@bounce.example' });
      for (const attempts of [1, 2, 3]) {
        await harness.settled();
        expect(harness.failed()).toHaveLength(attempts);
        await jest.advanceTimersByTimeAsync(200);
      }
      expect(harness).toHaveDeadLettered('stock.reserved');
    } finally {
      jest.useRealTimers();
    }
  });
});
