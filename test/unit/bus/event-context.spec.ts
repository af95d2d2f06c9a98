import { describe, expect, it } from '@jest/globals';
import { DeliveryContext } from '../../../lib/bus/event-context.js';
import { FakeDelivery } from '../support/fake.delivery.js';

describe('DeliveryContext', () => {
  it('shows the delivery', () => {
    const delivery = new FakeDelivery({
      message: { topic: 'a.b', headers: { region: 'eu' } },
      attempt: 3,
      redelivered: true,
    });
    const context = new DeliveryContext(delivery, 'mail');
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

  it('collects what is emitted, with the ids of its cause, and gives it once', () => {
    const context = new DeliveryContext(new FakeDelivery({ message: { id: 'm-1' } }), 'mail');
    expect(context.hasEmitted).toBe(false);
    context.emit('a', 1);
    context.emit('b', 2, { key: 'k', causationId: 'own' });
    expect(context.hasEmitted).toBe(true);
    expect(context.takeEmitted()).toEqual([
      { topic: 'a', payload: 1, options: { correlationId: 'm-1', causationId: 'm-1' } },
      { topic: 'b', payload: 2, options: { correlationId: 'm-1', causationId: 'own', key: 'k' } },
    ]);
    expect(context.hasEmitted).toBe(false);
    expect(context.takeEmitted()).toEqual([]);
  });

  it('hands on a correlation that was begun before', () => {
    const context = new DeliveryContext(new FakeDelivery({ message: { id: 'm-1', correlationId: 'c-0' } }), 'mail');
    context.emit('a', 1);
    expect(context.takeEmitted()[0]?.options).toEqual({ correlationId: 'c-0', causationId: 'm-1' });
  });
});
