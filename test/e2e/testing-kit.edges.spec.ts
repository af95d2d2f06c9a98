import { describe, expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  EVENT_BUS_TRANSPORT,
  Event,
  EventBusModule,
  EventBusService,
  fixed,
  OnCommand,
  OnEvent,
  TextSerializer,
  type Transport,
  ValidationError,
} from '../../lib/index.js';
import { EventBusTestHarness } from '../../lib/testing/index.js';
import { useHarnesses } from '../support/harnesses.js';
import { aMessage } from '../unit/support/message.js';
import { RecordingLogger } from '../unit/support/recording.logger.js';

/** Fails as often as it is told to. */
class Flaky {
  failures = 0;
  readonly seen: unknown[] = [];

  protected take(payload: unknown): void {
    if (this.failures-- > 0) throw new Error('not yet');
    this.seen.push(payload);
  }
}

describe('the harness on a bus with', () => {
  const start = useHarnesses();

  it('messages that no handler had to do: they are acked, and not handled', async () => {
    @Injectable()
    class Once extends Flaky {
      @OnEvent('once', { group: 'shop.once', idempotent: true })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus, handler } = await start(Once);
    await bus.publish('once', 1, { id: 'same' });
    await harness.settled();
    await bus.publish('once', 2, { id: 'same' });
    await bus.publish('once', 3, { delayMs: 60_000, expiresInMs: 30_000 });
    await bus.publish('once', 4, { delayMs: 60_000, expiresInMs: 90_000 });
    await harness.advance(60_000);
    expect(handler.seen).toEqual([1, 4]);
    expect(harness.published('once')).toHaveLength(4);
    expect(harness.handled('once')).toMatchObject([{ payload: 1 }, { payload: 4 }]);
  });

  it('versions of an event: a class stands for its own', async () => {
    @Event('orders.created', { version: 2 })
    class OrderCreated {
      readonly id: string = '2';
    }
    @Injectable()
    class Orders extends Flaky {
      @OnEvent(OrderCreated, { group: 'shop.orders' })
      on(payload: OrderCreated): void {
        this.take(payload);
      }
    }
    const { harness, bus } = await start(Orders, { consume: { unmatched: fixed({ attempts: 2, delayMs: 30_000 }) } });
    await bus.publish(new OrderCreated());
    await bus.publish('orders.created', { id: '1' });
    await harness.runRetries();
    expect(harness.published(OrderCreated).map(({ payload }) => payload.id)).toEqual(['2']);
    expect(harness.handled(OrderCreated)).toHaveLength(1);
    expect(harness.deadLetters()).toMatchObject([{ payload: { id: '1' }, reason: 'unmatched' }]);
    expect(harness.failed()).toMatchObject([{ error: { name: 'Unmatched' } }, { error: { name: 'Unmatched' } }]);
  });

  it('retries one after the other: the steps of time add up exactly', async () => {
    @Injectable()
    class Mail extends Flaky {
      @OnEvent('mail', { group: 'shop.mail', retry: { delaysMs: [5_000, 60_000] } })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus, handler } = await start(Mail, { namespace: 'preview' });
    handler.failures = 2;
    await bus.publish('mail', 1);
    await harness.settled();
    expect(harness.pending).toMatchObject([{ group: 'shop.mail', attempt: 2 }]);
    await harness.advance(65_000);
    expect(handler.seen).toEqual([1]);
    expect(harness.handled()).toMatchObject([{ group: 'shop.mail', attempt: 3 }]);
  });

  it('ordering by key: what waits behind a retry comes after it', async () => {
    @Injectable()
    class Ledger extends Flaky {
      @OnEvent('booked', { group: 'shop.ledger', ordered: 'key', retry: fixed({ attempts: 3, delayMs: 1_000 }) })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus, handler } = await start(Ledger);
    handler.failures = 1;
    await bus.publish('booked', 1, { key: 'a' });
    await bus.publish('booked', 2, { key: 'a' });
    await harness.settled();
    expect(handler.seen).toEqual([]);
    await harness.advance(1_000);
    expect(handler.seen).toEqual([1, 2]);
  });

  it('an alternate exchange: what nobody asks for is recorded once', async () => {
    @Injectable()
    class Nobody extends Flaky {
      @OnEvent('asked', { group: 'shop.asked' })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus } = await start(Nobody, { publish: { unroutable: 'alternate-exchange' } });
    await bus.publish('not.asked', 1);
    await harness.settled();
    expect(harness.published()).toMatchObject([{ topic: 'not.asked', routed: false }]);
  });

  it('commands: what goes straight to a group is one, and a reply belongs to its request', async () => {
    @Injectable()
    class Desk extends Flaky {
      @OnEvent('asked', { group: 'shop.desk' })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, handler } = await start(Desk);
    const transport = harness.get<Transport>(EVENT_BUS_TRANSPORT);
    const message = aMessage({ topic: 'asked', body: Buffer.from('1') });
    expect(await transport.publish({ kind: 'group', group: 'shop.desk' }, message)).toEqual({ routed: true });
    await transport.publish({ kind: 'reply', address: 'nobody' }, message);
    await harness.settled();
    expect(harness.published()).toMatchObject([{ kind: 'command', topic: 'asked', payload: 1 }]);
    expect(handler.seen).toEqual([1]);
  });

  it('requests that are answered with an error: they have failed, and nobody has handled them', async () => {
    @Injectable()
    class Desk extends Flaky {
      @OnCommand('ask')
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus, handler } = await start(Desk);
    handler.failures = 1;
    await expect(bus.request('ask', 1)).rejects.toThrow('not yet');
    await harness.settled();
    expect(harness.handled()).toEqual([]);
    expect(harness.failed('ask')).toMatchObject([{ payload: 1, attempt: 1, error: { message: 'not yet' } }]);
    await bus.request('ask', 2);
    await harness.settled();
    expect(harness.handled('ask')).toMatchObject([{ payload: 2 }]);
    expect(harness.failed()).toHaveLength(1);
    expect(harness.deadLetters()).toEqual([]);
  });

  it('a serializer of its own: payloads are what the bytes say', async () => {
    @Injectable()
    class Reader extends Flaky {
      @OnEvent('#', { group: 'shop.reader' })
      on(payload: unknown): void {
        this.take(payload);
      }
    }
    const { harness, bus } = await start(Reader, { serializer: new TextSerializer() });
    await bus.publish('text', 'ä');
    await harness.settled();
    expect(harness.handled()).toMatchObject([{ payload: 'ä', message: { body: Buffer.from('ä') } }]);
    expect(Object.keys(harness.handled()[0] ?? {})).toEqual(['topic', 'payload', 'headers', 'group', 'attempt']);
  });

  it('a check of its events that takes its time: what was not awaited is seen', async () => {
    const validate = async (value: unknown) => {
      await new Promise((resolve) => setImmediate(resolve));
      return value === 0 ? { issues: [{ message: 'nothing' }] } : { value };
    };
    @Event('checked', { schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    class Checked {
      readonly n: number = 1;
    }
    @Injectable()
    class Slow extends Flaky {
      @OnEvent(Checked, { group: 'shop.slow' })
      on(payload: Checked): void {
        this.take(payload);
      }
    }
    const { harness, bus } = await start(Slow);
    await expect(bus.publish(Checked, 0 as never)).rejects.toThrow(ValidationError);
    expect(harness.published()).toEqual([]);
    const sent = bus.publish(new Checked());
    await harness.settled();
    await sent;
    expect(harness.handled(Checked)).toHaveLength(1);
  });

  it.each([
    ['a provider that throws when it is initialized', { fails: true }, {}],
    ['a wrong name of the bus', { fails: false }, { bus: 'none' }],
  ])('an application that does not come up, for %s: it is closed', async (_, { fails }, options) => {
    let bus: EventBusService | undefined;
    @Injectable()
    class Opened {
      constructor(made: EventBusService) {
        bus = made;
      }
      onModuleInit(): void {
        if (fails) throw new Error('no bus "none", nor anything else');
      }
      onModuleDestroy(): never {
        throw new Error('closing fails as well');
      }
    }
    @Module({ imports: [EventBusModule.forRoot({ logger: new RecordingLogger() })], providers: [Opened] })
    class AppModule {}
    const builder = Test.createTestingModule({ imports: [AppModule] }).setLogger(new RecordingLogger());
    await expect(EventBusTestHarness.create(builder, options)).rejects.toThrow('no bus "none"');
    expect(bus?.status).toBe('closed');
  });
});
