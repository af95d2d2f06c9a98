import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  ConfigurationError,
  DeadLetterError,
  defineEvent,
  Event,
  EventBusModule,
  type EventBusModuleOptions,
  EventBusService,
  type EventContext,
  fixed,
  OnEvent,
  RetryLaterError,
} from '../../lib/index.js';
import { EventBusTestHarness, type TestHarnessOptions } from '../../lib/testing/index.js';

@Event('orders.created')
class OrderCreated {
  constructor(readonly id: string) {}
}

const OrderPaid = defineEvent<{ id: string }>('orders.paid');

/** Fails as often as it is told to. */
@Injectable()
class Shop {
  failures = 0;
  readonly seen: string[] = [];

  @OnEvent(OrderCreated, { group: 'shop.billing' })
  bill({ id }: OrderCreated, context: EventContext): void {
    context.emit('orders.paid', { id });
  }

  @OnEvent('orders.paid', { group: 'shop.mail', retry: { delaysMs: [5_000, 60_000] } })
  mail({ id }: { id: string }): void {
    if (this.failures-- > 0) throw new Error('no mail server');
    this.seen.push(id);
  }

  @OnEvent('prices.changed', { delivery: 'broadcast', retry: fixed({ attempts: 3, delayMs: 30_000 }) })
  price(price: { cents: number }): void {
    if (this.failures-- > 0) throw new Error('not yet');
    this.seen.push(`price ${price.cents}`);
  }

  @OnEvent('reports.#', { group: 'shop.reports' })
  report({ later }: { later?: number }): void {
    if (later !== undefined && this.failures-- > 0) throw new RetryLaterError(later);
    if (this.failures-- > 0) throw new DeadLetterError('never');
    this.seen.push('report');
  }
}

const OPTIONS: EventBusModuleOptions = {
  service: 'shop',
  // nobody listens there
  transport: 'amqp://guest:guest@127.0.0.1:1/nowhere',
  logger: { log: () => undefined, warn: () => undefined, error: () => undefined },
};

@Module({ imports: [EventBusModule.forRoot(OPTIONS)], providers: [Shop] })
class AppModule {}

describe('the harness', () => {
  const harnesses: EventBusTestHarness[] = [];
  const start = async (module: unknown = AppModule, options?: TestHarnessOptions) => {
    const builder = Test.createTestingModule({ imports: [module as typeof AppModule] });
    const harness = await EventBusTestHarness.create(builder, options);
    harnesses.push(harness);
    return { harness, bus: harness.bus, shop: harness.get(Shop) };
  };
  afterEach(() => Promise.all(harnesses.splice(0).map((harness) => harness.close())));

  it('sees what is published and handled, also by handlers, of an application that is configured for a broker', async () => {
    const { harness, bus } = await start();
    await bus.publish(new OrderCreated('42'), { headers: { tenant: 'a' } });
    await harness.settled();
    expect(harness.published()).toEqual([
      { topic: 'orders.created', payload: { id: '42' }, headers: { tenant: 'a' }, kind: 'event', routed: true },
      { topic: 'orders.paid', payload: { id: '42' }, headers: {}, kind: 'event', routed: true },
    ]);
    expect(harness.handled()).toEqual([
      { topic: 'orders.created', payload: { id: '42' }, headers: { tenant: 'a' }, group: 'shop.billing', attempt: 1 },
      { topic: 'orders.paid', payload: { id: '42' }, headers: {}, group: 'shop.mail', attempt: 1 },
    ]);
    expect(harness.failed()).toEqual([]);
    expect(harness.deadLetters()).toEqual([]);
    expect(harness.published()[1]?.message.causationId).toBe(harness.published()[0]?.message.id);
  });

  it('finds by pattern, class, definition and function', async () => {
    const { harness, bus } = await start();
    await bus.publish(new OrderCreated('1'));
    await bus.publish('orders.created', { id: '2' });
    await bus.publish('orders.created', { id: '3' }, { type: 'other' });
    await bus.publish('nobody.asks', {});
    await harness.settled();
    const ids = (records: readonly { readonly payload: unknown }[]) =>
      records.map((r) => (r.payload as OrderCreated).id);
    expect(ids(harness.published(OrderCreated))).toEqual(['1', '2']);
    expect(ids(harness.published(OrderPaid))).toEqual(['1', '2']);
    expect(harness.published('orders.*')).toHaveLength(5);
    expect(harness.published('nobody.#')).toMatchObject([{ routed: false }]);
    expect(ids(harness.published(({ message }) => message.type === 'other'))).toEqual(['3']);
    expect(ids(harness.handled(OrderCreated, { group: 'shop.billing' }))).toEqual(['1', '2']);
    expect(harness.handled(OrderCreated, { group: 'shop.mail' })).toEqual([]);
    class Plain {}
    expect(() => harness.published(Plain)).toThrow(ConfigurationError);
    expect(() => harness.published({} as never)).toThrow('a class with @Event');
  });

  it('runs retries when time is moved, exactly as far as it is moved', async () => {
    const { harness, bus, shop } = await start();
    shop.failures = 2;
    await bus.publish(OrderPaid, { id: '7' });
    await harness.settled();
    expect(harness.pending).toMatchObject([{ topic: 'orders.paid', group: 'shop.mail', attempt: 2 }]);
    expect(harness.pending[0]?.dueInMs).toBeGreaterThan(4_000);
    await harness.advance(4_000);
    expect(harness.failed()).toHaveLength(1);
    await harness.advance(61_000);
    expect(harness.handled('orders.paid')).toMatchObject([{ attempt: 3, payload: { id: '7' } }]);
    expect(harness.failed(OrderPaid)).toMatchObject([
      { attempt: 1, group: 'shop.mail', error: { name: 'Error', message: 'no mail server' } },
      { attempt: 2 },
    ]);
    expect(harness.pending).toEqual([]);
    await expect(harness.advance(-1)).rejects.toThrow(ConfigurationError);
  });

  it('goes on until everything is handled or dead', async () => {
    const { harness, bus, shop } = await start();
    shop.failures = 100;
    await bus.publish(OrderPaid, { id: '7' });
    await harness.runRetries();
    expect(harness.failed()).toHaveLength(3);
    expect(harness.deadLetters()).toMatchObject([
      { topic: 'orders.paid', payload: { id: '7' }, group: 'shop.mail', attempts: 3, reason: 'attempts-exhausted' },
    ]);
    expect(harness.deadLetters('shop.mail')).toHaveLength(1);
    expect(harness.deadLetters('shop.billing')).toEqual([]);
    harness.reset();
    expect([harness.published(), harness.failed(), harness.deadLetters()]).toEqual([[], [], []]);
  });

  it('sees the attempts of private handlers, and moves their retries', async () => {
    const { harness, bus, shop } = await start();
    shop.failures = 1;
    await bus.broadcast('prices.changed', { cents: 5 });
    await harness.settled();
    expect(harness.published()).toMatchObject([{ kind: 'broadcast', routed: true }]);
    expect(harness.failed()).toMatchObject([{ group: 'shop.Shop.price', attempt: 1 }]);
    expect(harness.pending).toMatchObject([{ topic: 'prices.changed', group: 'shop.Shop.price', attempt: 2 }]);
    await harness.advance(30_000);
    expect(harness.handled()).toMatchObject([{ group: 'shop.Shop.price', attempt: 2 }]);
    shop.failures = 3;
    await bus.broadcast('prices.changed', { cents: 6 });
    await harness.runRetries();
    expect(harness.deadLetters('shop.Shop.price')).toMatchObject([{ attempts: 3, payload: { cents: 6 } }]);
  });

  it('holds what is put off, by its publisher or its handler, until its time has come', async () => {
    const { harness, bus, shop } = await start();
    await bus.publish('reports.daily', {}, { delayMs: 3_600_000 });
    await harness.settled();
    expect(shop.seen).toEqual([]);
    await harness.advance(3_600_000);
    expect(shop.seen).toEqual(['report']);
    shop.failures = 1;
    await bus.publish('reports.daily', { later: 86_400_000 });
    await harness.settled();
    expect(harness.pending).toHaveLength(1);
    expect(harness.failed()).toEqual([]); // it was put off, and did not fail
    await harness.runRetries();
    expect(shop.seen).toEqual(['report', 'report']);
  });

  it('waits for what comes, and says what came instead', async () => {
    const { harness, bus } = await start();
    const waiting = harness.waitFor(OrderPaid, { kind: 'handled', count: 2 });
    await bus.publish(new OrderCreated('1'));
    await bus.publish(new OrderCreated('2'));
    expect((await waiting).map(({ payload }) => payload.id)).toEqual(['1', '2']);
    expect(await harness.waitFor('orders.created')).toHaveLength(2);
    const missed = harness.waitFor('orders.shipped', { timeoutMs: 20 });
    await expect(missed).rejects.toMatchObject({ code: 'NOT_SEEN' });
    await expect(missed).rejects.toThrow(
      'Waited 20 ms for "orders.shipped" to be published. Published: orders.created ×2, orders.paid ×2; handled: orders.created ×2, orders.paid ×2; failed: nothing; dead-lettered: nothing.',
    );
    await expect(harness.waitFor(OrderCreated, { kind: 'dead', timeoutMs: 5 })).rejects.toThrow(
      'for OrderCreated ("orders.created") to be dead-lettered',
    );
    const stop = new AbortController();
    const stopped = harness.waitFor('x', { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(stopped).rejects.toThrow('enough');
    const wrong = harness.waitFor(() => {
      throw new Error('of the test');
    });
    await expect(wrong).rejects.toThrow('of the test');
  });

  it('says what still moves when it does not settle in time', async () => {
    const { harness, bus } = await start();
    let go: () => void = () => undefined;
    const started = new Promise<void>((onStart) => {
      const slow = (): Promise<void> => {
        onStart();
        return new Promise((resolve) => {
          go = resolve;
        });
      };
      void bus.subscribe('slow', slow, { group: 'shop.slow' }).then(() => bus.publish('slow', {}));
    });
    await started;
    await expect(harness.settled({ timeoutMs: 20 })).rejects.toThrow(
      'Not settled within 20 ms: shop.slow (1 running, 0 waiting to run).',
    );
    const settled = harness.settled();
    go();
    await settled;
    expect(harness.handled('slow')).toHaveLength(1);
  });

  it('does not wait for groups that are not consumed', async () => {
    const module = { module: AppModule };
    const builder = Test.createTestingModule({ imports: [module] });
    const harness = await EventBusTestHarness.create(builder);
    harnesses.push(harness);
    const subscription = await harness.bus.subscribe('idle', () => undefined, { group: 'shop.idle' });
    await subscription.pause();
    await harness.bus.publish('idle', {});
    await harness.settled();
    expect(harness.handled('idle')).toEqual([]);
    await subscription.resume();
    await harness.settled();
    expect(harness.handled('idle')).toHaveLength(1);
  });

  it('waits for a batch that fills', async () => {
    const batches: number[] = [];
    @Injectable()
    class Importer {
      @OnEvent('rows', { group: 'shop.rows', batch: { size: 10, waitMs: 20 } })
      add(rows: readonly unknown[]): void {
        batches.push(rows.length);
      }
    }
    @Module({ imports: [AppModule], providers: [Importer] })
    class Batches {}
    const { harness, bus } = await start(Batches);
    await Promise.all(Array.from({ length: 13 }, (_, n) => bus.publish('rows', { n })));
    await harness.settled();
    expect(batches).toEqual([10, 3]);
    expect(harness.handled('rows')).toHaveLength(13);
  });

  it('keeps the order of parallel publishes, ten thousand of them', async () => {
    const { harness, bus } = await start();
    await Promise.all(Array.from({ length: 10_000 }, (_, n) => bus.publish('orders.paid', { id: String(n) })));
    await harness.settled({ timeoutMs: 20_000 });
    expect(harness.published().map((r) => (r.payload as { id: string }).id)).toEqual(
      Array.from({ length: 10_000 }, (_, n) => String(n)),
    );
    expect(harness.handled()).toHaveLength(10_000);
  });

  it('has all buses of the application in memory, whether their options come now or later', async () => {
    @Injectable()
    class Auditor {
      constructor(readonly main: EventBusService) {}

      @OnEvent('audit.#', { bus: 'audit', group: 'shop.audit' })
      async audit(): Promise<void> {
        await this.main.publish('orders.paid', { id: 'audited' });
      }
    }
    @Module({
      imports: [
        AppModule,
        EventBusModule.forRootAsync({
          name: 'audit',
          useFactory: async () => ({ ...OPTIONS, namespace: 'n', service: 'shop' }),
        }),
      ],
      providers: [Auditor],
    })
    class Both {}
    const { harness } = await start(Both);
    const audit = harness.forBus('audit');
    expect(audit.bus).not.toBe(harness.bus);
    await audit.bus.publish('audit.login', { id: 'x' });
    await harness.settled();
    expect(audit.published()).toMatchObject([{ topic: 'audit.login' }]);
    expect(audit.handled()).toMatchObject([{ group: 'shop.audit' }]);
    expect(harness.handled()).toMatchObject([{ group: 'shop.mail', payload: { id: 'audited' } }]);
    expect(() => harness.forBus('adit')).toThrow('Did you mean "audit"?');
    await audit.close();
    await harness.close();
  });

  it('takes the only bus there is, and wants one', async () => {
    const named = EventBusModule.forRoot({ ...OPTIONS, name: 'only' });
    const harness = await EventBusTestHarness.create(Test.createTestingModule({ imports: [named] }));
    harnesses.push(harness);
    expect(harness.bus.name).toBe('only');
    await expect(start(named, { bus: 'none' })).rejects.toThrow('no bus "none"');
    @Module({})
    class Empty {}
    await expect(start(Empty)).rejects.toThrow('import EventBusModule.forRoot()');
  });

  it('tells wrong options as ever', async () => {
    const wrong = EventBusModule.forRoot({
      ...OPTIONS,
      transport: { type: 'rabbitmq', url: 'amqp://x', heartbeat: 1 },
    });
    await expect(start(wrong)).rejects.toThrow('heartbeat');
  });

  it('closes once, and ends what waits', async () => {
    const { harness } = await start();
    const close = jest.spyOn(harness.app, 'close');
    const waiting = harness.waitFor('never');
    await Promise.all([harness.close(), harness.close(), expect(waiting).rejects.toThrow('closed')]);
    await harness.close();
    expect(close).toHaveBeenCalledTimes(1);
  });

  it('keeps nothing alive that waits for a later time', async () => {
    const { harness, bus, shop } = await start();
    shop.failures = 9;
    await bus.publish(OrderPaid, { id: '1' });
    await bus.broadcast('prices.changed', { cents: 1 });
    await harness.settled();
    expect(harness.pending).toHaveLength(2);
    await harness.close();
    await turn();
    expect(harness.pending).toEqual([]);
    expect(process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap')).toEqual([]);
  });

  it('runs an application that is made of the module', async () => {
    const builder = Test.createTestingModule({ imports: [AppModule] });
    const harness = await EventBusTestHarness.create(builder, {
      createApp: (module) => module.createNestApplication(),
    });
    harnesses.push(harness);
    expect(harness.app.getHttpServer()).toBeDefined();
    await harness.bus.publish(new OrderCreated('1'));
    await harness.settled();
    expect(harness.get(EventBusService)).toBe(harness.bus);
    expect(harness.handled(OrderCreated)).toHaveLength(1);
  });

  it('goes with faked timers that leave setImmediate as it is', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
    try {
      const { harness, bus, shop } = await start();
      shop.failures = 1;
      await bus.publish(OrderPaid, { id: '7' });
      await harness.settled();
      await jest.advanceTimersByTimeAsync(5_000);
      await harness.settled();
      expect(harness.handled()).toMatchObject([{ attempt: 2 }]);
      await expect(harness.waitFor('never', { timeoutMs: 5 })).rejects.toMatchObject({ code: 'NOT_SEEN' });
    } finally {
      jest.useRealTimers();
    }
  });
});
