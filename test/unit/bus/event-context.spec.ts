import { describe, expect, it } from '@jest/globals';
import { DeliveryContext } from '../../../lib/bus/event-context.js';
import type { EventPublishOptions } from '../../../lib/bus/publish-options.js';
import { FakeDelivery } from '../support/fake.delivery.js';

type Emitted = readonly [topic: string, payload: unknown, options: EventPublishOptions];

function open(delivery: FakeDelivery) {
  const published: Emitted[] = [];
  const context = new DeliveryContext(delivery, 'mail', async (...emitted) => published.push(emitted));
  return { context, published };
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

  it('collects what is emitted, with the ids of its cause, and publishes it once', async () => {
    const { context, published } = open(new FakeDelivery({ message: { id: 'm-1' } }));
    expect(context.hasEmitted).toBe(false);
    context.emit('a', 1);
    context.emit('b', 2, { key: 'k', causationId: 'own' });
    expect(context.hasEmitted).toBe(true);
    await context.flush();
    const expected = [
      ['a', 1, { correlationId: 'm-1', causationId: 'm-1' }],
      ['b', 2, { correlationId: 'm-1', causationId: 'own', key: 'k' }],
    ];
    expect(published).toEqual(expected);
    expect(context.hasEmitted).toBe(false);
    await context.flush();
    context.emit('c', 3);
    context.discard();
    await context.flush();
    expect(published).toEqual(expected);
  });

  it('hands on a correlation that was begun before', async () => {
    const { context, published } = open(new FakeDelivery({ message: { id: 'm-1', correlationId: 'c-0' } }));
    context.emit('a', 1);
    await context.flush();
    expect(published[0]?.[2]).toEqual({ correlationId: 'c-0', causationId: 'm-1' });
  });
});
