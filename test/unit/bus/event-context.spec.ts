import { describe, expect, it } from '@jest/globals';
import { DeliveryContext, type EmitEvent } from '../../../lib/bus/event-context.js';
import { defineEvent } from '../../../lib/bus/event-definition.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import { ChainTooDeepError, ConfigurationError } from '../../../lib/core/errors.js';
import { Event } from '../../../lib/index.js';
import { caught, caughtFrom } from '../support/caught.js';
import { settled } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';

type Emitted = Parameters<EmitEvent>[0];

function open(delivery: FakeDelivery, emit?: EmitEvent) {
  const published: Emitted[] = [];
  const context = new DeliveryContext(delivery, {
    group: 'mail',
    emit: emit ?? (async (event) => published.push(event)),
    registry: new EventRegistry(),
  });
  return { context, published };
}

@Event('orders.paid', { version: 2 })
class OrderPaid {
  constructor(readonly id: string) {}
}

describe('DeliveryContext', () => {
  it('shows the delivery', () => {
    const delivery = new FakeDelivery({
      message: { topic: 'a.b', headers: { region: 'eu' } },
      attempt: 3,
      redelivered: true,
    });
    const { context } = open(delivery);
    expect(context).toMatchObject({
      message: delivery.message,
      topic: 'a.b',
      headers: { region: 'eu' },
      group: 'mail',
      attempt: 3,
      redelivered: true,
    });
    expect(context.signal).toBe(delivery.signal);
  });

  it('collects what is emitted and publishes it once', async () => {
    const { context, published } = open(new FakeDelivery({ message: { id: 'm-1' } }));
    expect(context.hasEmitted).toBe(false);
    context.emit('a', 1);
    context.emit('b', 2, { key: 'k', causationId: 'own' });
    expect(context.hasEmitted).toBe(true);
    await context.flush();
    const expected = [
      { topic: 'a', payload: 1 },
      { topic: 'b', payload: 2, options: { key: 'k', causationId: 'own' } },
    ];
    expect(published).toEqual(expected);
    expect(context.hasEmitted).toBe(false);
    await context.flush();
    expect(published).toEqual(expected);
  });

  it('forgets what was emitted before a failure; whoever settles that can still emit', async () => {
    const { context, published } = open(new FakeDelivery());
    context.emit('a', 1);
    context.forget();
    context.emit('b', 2);
    await context.flush();
    expect(published).toEqual([{ topic: 'b', payload: 2 }]);
  });

  it.each(['flush', 'discard'] as const)('takes nothing more after %s', async (end) => {
    const { context, published } = open(new FakeDelivery());
    await context[end]();
    expect(() => context.emit('late', 1)).toThrow(expect.objectContaining({ code: 'CONTEXT_CLOSED' }));
    await context.flush();
    expect(published).toEqual([]);
  });

  it('emits what publish takes: objects of event classes, classes and definitions with a payload', async () => {
    const { context, published } = open(new FakeDelivery());
    const OrderSent = defineEvent<{ id: string }>('orders.sent');
    const paid = new OrderPaid('1');
    context.emit(paid);
    context.emit(paid, { key: 'k' });
    context.emit(OrderPaid, { id: '2' });
    context.emit(OrderSent, { id: '3' }, { key: 'l' });
    await context.flush();
    const definition = { topic: 'orders.paid', version: 2 };
    expect(published).toMatchObject([
      { topic: 'orders.paid', payload: paid, options: undefined, definition },
      { topic: 'orders.paid', payload: paid, options: { key: 'k' }, definition },
      { topic: 'orders.paid', payload: { id: '2' }, definition },
      { topic: 'orders.sent', payload: { id: '3' }, options: { key: 'l' }, definition: OrderSent },
    ]);
  });

  it.each([
    [new Date(), 'Date is not an event'],
    [undefined, 'undefined is not an event'],
  ])('refuses at once what is no event', (event, text) => {
    const { context } = open(new FakeDelivery());
    const error = caught(() => context.emit(event as object));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(String(error)).toContain(text);
    expect(context.hasEmitted).toBe(false);
  });

  it('takes nothing more when it is closed, and says so; what was emitted before is published', async () => {
    const { context, published } = open(new FakeDelivery({ message: { topic: 'orders.created' } }));
    context.emit('a', 1);
    context.close();
    const error = caught(() => context.emit('late', 'secret'));
    expect(error).toMatchObject({ code: 'CONTEXT_CLOSED', retryable: false });
    expect(String(error)).toMatch(/"late".*"orders\.created" in mail/);
    expect(String(error)).not.toContain('secret');
    await context.flush();
    expect(published.map(({ topic }) => topic)).toEqual(['a']);
  });

  it('publishes all or, when one of them is not fit to be sent, nothing', async () => {
    const sent: string[] = [];
    const { context } = open(new FakeDelivery(), async ({ topic }, emission) => {
      if (topic === 'bad') throw new RangeError('no such exchange');
      await emission.ready();
      sent.push(topic);
    });
    for (const topic of ['a', 'bad', 'b']) context.emit(topic, 1);
    const error = await caughtFrom(context.flush());
    await settled();
    expect(error).toMatchObject({ code: 'EMIT_FAILED', message: expect.stringContaining('no such exchange') });
    expect(sent).toEqual([]);
  });

  it('says itself that the chain is too deep, for that decides over the delivery', async () => {
    const refusal = new ChainTooDeepError('a', 11, 10);
    const { context } = open(new FakeDelivery(), async () => {
      throw refusal;
    });
    context.emit('a', 1);
    expect(await caughtFrom(context.flush())).toBe(refusal);
  });
});
