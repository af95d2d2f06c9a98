import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { Event } from '../../../lib/decorators/event.decorator.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { TestCache } from '../support/caches.js';
import { caughtFrom } from '../support/caught.js';
import { aMessage } from '../support/message.js';

class Address {
  constructor(readonly street: string) {}
}

class OrderCreated {
  readonly note?: string | undefined;
  constructor(
    readonly id: string,
    readonly to?: Address,
    readonly at?: Date,
  ) {}
}

class Money {
  constructor(private readonly cents: number) {}
  toJSON(): string {
    return `${this.cents} ct`;
  }
}

async function isFound(payload: unknown, target: unknown): Promise<boolean> {
  const cache = new TestCache<unknown>();
  cache.put(payload);
  const { complete } = await cache.waitForMany([target as object], { mode: 'any', timeoutMs: 0 });
  return complete;
}

/** As it is after it was sent. */
function sent(payload: unknown): unknown {
  const serializer = new JsonSerializer();
  const body = serializer.encode(payload);
  return serializer.decode(body);
}

class Selfsame {
  readonly id = '42';
  toJSON(): this {
    return this;
  }
}

function nested(depth: number): unknown {
  let value: unknown = 'x';
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

describe('a target that is a payload', () => {
  it.each([
    ['an object of a class', new OrderCreated('42')],
    ['with others within', new OrderCreated('42', new Address('Main'), new Date(0))],
    ['with a toJSON', { price: new Money(5), zero: -0, none: undefined }],
    ['a list of them', [new Address('a'), null, 1, 'x', true, [undefined]]],
    ['a date', new Date(5)],
    ['with methods of its own', { id: '42', print: () => 'x', mark: Symbol('m'), list: [() => 'x', Symbol('m')] }],
    ['a toJSON that gives the object itself', new Selfsame()],
    ['numbers that JSON has not', { a: Number.NaN, b: [Number.POSITIVE_INFINITY], c: -0 }],
    ['not a number', Number.NaN],
    ['null', null],
  ])('equals what it is decoded to: %s', async (_name, target) => {
    expect(await isFound(sent(target), target)).toBe(true);
    expect(await isFound(sent(target), sent(target))).toBe(target !== undefined);
  });

  it.each<[string, unknown, unknown]>([
    ['a payload of a class', new OrderCreated('42'), { id: '42' }],
    ['bytes, of whatever class', Buffer.from([1, 2]), new Uint8Array([1, 2])],
    ['a Map', new Map([[1, 2]]), new Map([[1, 2]])],
    ['nothing at all', undefined, undefined],
    ['not a number', Number.NaN, Number.NaN],
    ['a property without a value', { a: 1 }, { a: 1, b: undefined }],
  ])('equals %s', async (_name, payload, target) => {
    expect(await isFound(payload, target)).toBe(true);
  });

  it.each<[string, unknown, unknown]>([
    ['another value', { id: '42' }, { id: '43' }],
    ['a part', { id: '42', n: 1 }, { id: '42' }],
    ['more', { id: '42' }, { id: '42', n: 1 }],
    ['a number for a text', { n: 1 }, { n: '1' }],
    ['null for nothing', { n: null }, {}],
    ['a list for an object', [], {}],
    ['another order', [1, 2], [2, 1]],
    ['another name of the prototype', JSON.parse('{"__proto__": {"a": 1}}'), {}],
    ['another value, deeper', { id: '42', of: { n: 1 } }, { id: '42', of: { n: 2 } }],
    ['other bytes', Buffer.from([1]), Buffer.from([2])],
    ['other members', new Set([1]), new Set([2])],
  ])('does not equal %s', async (_name, payload, target) => {
    expect(await isFound(payload, target)).toBe(false);
  });

  it('counts as it was when the wait began', async () => {
    const cache = new TestCache<unknown>();
    const target = { id: 1 };
    const waiting = cache.waitForOne(target);
    target.id = 2;
    cache.put({ id: 1 });
    expect((await waiting).payload).toEqual({ id: 1 });
  });

  it('of an @Event class is that event: another one with the same payload is not meant', async () => {
    @Event('orders.paid')
    class OrderPaid {
      constructor(readonly id: string) {}
    }
    class Plain {
      constructor(readonly id: string) {}
    }
    const cache = new TestCache<unknown>();
    const put = (topic: string): unknown =>
      cache.add({ payload: { id: '42' }, topic, headers: {}, message: aMessage({ topic }) });
    put('orders.created');
    const paid = cache.waitForOne(new OrderPaid('42'));
    const many = cache.waitForMany([new OrderPaid('42'), new Plain('42')], { mode: 'all-any-order' });
    put('orders.paid');
    put('orders.paid');
    expect((await paid).topic).toBe('orders.paid');
    const { entries, indices } = await many;
    expect([entries.map(({ topic }) => topic), indices]).toEqual([
      ['orders.created', 'orders.paid'],
      [1, 0],
    ]);
  });

  it('is refused when it cannot be compared', async () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const target of [cycle, nested(1_002)]) {
      const error = await caughtFrom(new TestCache().waitForOne(target as object));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/^The target of waitForOne cannot be compared/);
    }
  });

  it('passes over a payload that cannot be compared', async () => {
    expect(await isFound(nested(50_000), nested(3))).toBe(false);
    const thrower = {
      toJSON: () => {
        throw new Error('no');
      },
    };
    expect(await isFound(thrower, {})).toBe(false);
  });
});
