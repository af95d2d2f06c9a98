import { describe, expect, it } from '@jest/globals';
import { defineEvent, EVENT_METADATA } from '../../../lib/bus/event-definition.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import type { StandardSchema } from '../../../lib/core/schema.js';
import { problemsOf } from '../support/caught.js';

const SCHEMA: StandardSchema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
const OrderPaid = defineEvent('orders.paid', { version: 2, schema: SCHEMA });

class OrderCreated {
  readonly topic = 'a field of the payload';
}
const CREATED = { topic: 'orders.created' };
Reflect.defineMetadata(EVENT_METADATA, CREATED, OrderCreated);

class EuOrderCreated extends OrderCreated {}
class Plain {}

describe('defineEvent', () => {
  it('gives frozen data', () => {
    expect(OrderPaid).toEqual({ topic: 'orders.paid', version: 2, schema: SCHEMA });
    expect(Object.isFrozen(OrderPaid)).toBe(true);
    expect(defineEvent('a')).toEqual({ topic: 'a' });
  });
});

describe('EventRegistry', () => {
  const registry = new EventRegistry();

  it.each<[string, unknown, unknown]>([
    ['a class', OrderCreated, CREATED],
    ['an object of a class, whatever its fields', new OrderCreated(), CREATED],
    ['a class that extends an event', EuOrderCreated, CREATED],
    ['an object of a class that extends an event', new EuOrderCreated(), CREATED],
    ['a definition', OrderPaid, OrderPaid],
    ['an object without prototype with a topic', Object.assign(Object.create(null), { topic: 'a' }), { topic: 'a' }],
    ['a class that is no event', Plain, undefined],
    ['an object of one', new Plain(), undefined],
    ['an object without a topic', {}, undefined],
    ['an object whose topic is no text', { topic: 7 }, undefined],
    ['null', null, undefined],
    ['undefined', undefined, undefined],
    ['a text', 'orders.created', undefined],
    ['a number', 7, undefined],
  ])('finds what %s stands for', (_, value, expected) => {
    expect(registry.find(value)).toEqual(expected);
  });

  it.each<[string, object, string]>([
    ['a class', Plain, 'Plain is not an event'],
    ['an object', new Plain(), 'Plain is not an event'],
    ['an anonymous class', (() => class {})(), 'An anonymous class is not an event'],
    ['an object without prototype', Object.create(null), 'object is not an event'],
    ['a plain object', {}, 'Object is not an event'],
    ['null', null, 'null is not an event'],
    ['undefined', undefined, 'undefined is not an event'],
    ['a number', 7, 'Number is not an event'],
  ])('complains of %s that is none, by name', (_, value, text) => {
    expect(problemsOf(() => registry.get(value))).toEqual([expect.stringContaining(text)]);
    expect(registry.get(OrderCreated)).toBe(CREATED);
  });

  it('says what a subscription asks for', () => {
    expect(registry.describe('orders.*')).toEqual({ patterns: ['orders.*'] });
    expect(registry.describe(['a', 'b'])).toEqual({ patterns: ['a', 'b'] });
    expect(registry.describe(OrderPaid)).toEqual({
      patterns: ['orders.paid'],
      event: { type: 'orders.paid', version: 2 },
      schema: SCHEMA,
    });
    expect(registry.describe(OrderCreated)).toEqual({
      patterns: ['orders.created'],
      event: { type: 'orders.created', version: 1 },
      schema: undefined,
    });
  });
});
