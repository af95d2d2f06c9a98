import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { DeadLetterError, Event, EventBusModule, OnEvent } from '../../lib/index.js';
import { type EventBusMatchers, EventBusTestHarness, eventBusMatchers } from '../../lib/testing/index.js';
import { caught } from '../unit/support/caught.js';

expect.extend(eventBusMatchers);

declare module 'expect' {
  interface Matchers<R extends void | Promise<void>, T = unknown> extends EventBusMatchers<R> {}
}

@Event('orders.created')
class OrderCreated {
  constructor(
    readonly id: string,
    readonly lines: readonly string[] = [],
  ) {}
}

@Injectable()
class Shop {
  @OnEvent(OrderCreated, { group: 'shop.billing' })
  bill(): void {}

  @OnEvent(OrderCreated, { group: 'shop.mail' })
  mail({ id }: OrderCreated): void {
    if (id === '13') throw new DeadLetterError('unlucky');
  }
}

const logger = { log: () => undefined, warn: () => undefined, error: () => undefined };

@Module({ imports: [EventBusModule.forRoot({ logger })], providers: [Shop] })
class AppModule {}

/** The failure of an assertion, without colours. */
function failureOf(assertion: () => unknown): string {
  const start = String.fromCharCode(27);
  return caught(assertion)
    .message.split(start)
    .map((part, index) => (index === 0 ? part : part.slice(part.indexOf('m') + 1)))
    .join('');
}

describe('the matchers', () => {
  let harness: EventBusTestHarness;

  beforeAll(async () => {
    harness = await EventBusTestHarness.create(Test.createTestingModule({ imports: [AppModule] }));
    await harness.bus.publish(new OrderCreated('42', ['a', 'b']));
    await harness.bus.publish(new OrderCreated('13'));
    await harness.bus.publish('orders.paid', { id: '42' });
    await harness.settled();
  });
  afterAll(() => harness.close());

  it('pass', () => {
    expect(harness).toHavePublished(OrderCreated);
    expect(harness).toHavePublished(OrderCreated, { id: '42' });
    expect(harness).toHavePublished('orders.*', { id: '42' }, { times: 2 });
    expect(harness).toHavePublished(OrderCreated, expect.objectContaining({ lines: expect.arrayContaining(['b']) }));
    expect(harness).toHavePublished(({ routed }) => !routed);
    expect(harness).not.toHavePublished(OrderCreated, { lines: ['a'] });
    expect(harness).not.toHavePublished('orders.shipped');
    expect(harness).toHaveHandled(OrderCreated, undefined, { times: 3 });
    expect(harness).toHaveHandled(OrderCreated, { id: '42' }, { group: 'shop.mail', times: 1 });
    expect(harness).not.toHaveHandled(OrderCreated, { id: '13' }, { group: 'shop.mail' });
    expect(harness).toHaveDeadLettered(OrderCreated, { id: '13' });
    expect(harness).toHavePublished(OrderCreated, new OrderCreated('13'));
    expect(harness).not.toHavePublished(OrderCreated, new OrderCreated('14'));
    expect(harness).toHaveDeadLettered('#', undefined, { group: 'shop.mail', times: 1 });
    expect(harness).not.toHaveDeadLettered('#', undefined, { group: 'shop.billing' });
  });

  it('say what was there instead', () => {
    expect(failureOf(() => expect(harness).toHavePublished(OrderCreated, { id: '7' }))).toBe(
      `expect(harness).toHavePublished(…)

Expected OrderCreated ("orders.created") to be published with the payload {"id": "7"}; it was 0 times.
Of OrderCreated ("orders.created") published:
  orders.created {"id": "42", "lines": ["a", "b"]}
  orders.created {"id": "13", "lines": []}`,
    );
    expect(
      failureOf(() => expect(harness).toHaveHandled('mail.sent', undefined, { group: 'shop.mail', times: 2 })),
    ).toBe(
      `expect(harness).toHaveHandled(…)

Expected "mail.sent" to be handled by the group "shop.mail" 2 times; it was 0 times.
In all handled by the group "shop.mail": orders.created.`,
    );
    expect(failureOf(() => expect(harness).not.toHaveDeadLettered('#'))).toBe(
      `expect(harness).not.toHaveDeadLettered(…)

Expected "#" not to be dead-lettered; it was 1 time.
Of "#" dead-lettered:
  orders.created {"id": "13", "lines": []}`,
    );
  });

  it('print no more than can be read', async () => {
    const many = await EventBusTestHarness.create(Test.createTestingModule({ imports: [AppModule] }));
    try {
      await Promise.all(Array.from({ length: 13 }, (_, n) => many.bus.publish('rows', { n })));
      expect(failureOf(() => expect(many).toHavePublished('rows', { n: -1 }))).toMatch(
        / {2}rows \{"n": 9\}\n {2}and 3 more$/,
      );
    } finally {
      await many.close();
    }
  });

  it('want a harness', () => {
    expect(() => expect(harness.bus).toHavePublished('#')).toThrow('toHavePublished needs an EventBusTestHarness');
  });
});
