import { describe, expect, it } from '@jest/globals';
import { Command, type CommandDefinition, defineCommand, Event, type EventBusService } from '../../../lib/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only for what gives a promise of exactly that. */
function gives<R>() {
  return <P>(ask: () => Promise<P>, ..._same: Equal<P, R> extends true ? [] : [never]): unknown => ask;
}

interface OrderId {
  readonly id: string;
}

@Event('orders.place')
class PlaceOrder extends Command<OrderId> {
  constructor(readonly article: string) {
    super();
  }
}

/** Of the same shape, with another reply. */
@Event('orders.count')
class CountOrders extends Command<number> {
  constructor(readonly article: string) {
    super();
  }
}

@Event('orders.forget')
class ForgetOrders extends Command {}

const Price: CommandDefinition<{ article: string }, bigint> = defineCommand('prices.get');

describe('types of commands', () => {
  it('say what a request resolves with, and what it must be given', () => {
    // never called: what counts is that it compiles
    const calls = (bus: EventBusService): void => {
      gives<OrderId>()(() => bus.request(new PlaceOrder('tea')));
      gives<OrderId>()(() => bus.request(PlaceOrder, { article: 'tea' }));
      gives<number>()(() => bus.request(new CountOrders('tea'), { timeoutMs: 1 }));
      gives<void>()(() => bus.request(new ForgetOrders()));
      gives<bigint>()(() => bus.request(Price, { article: 'tea' }));
      gives<unknown>()(() => bus.request('prices.get', 1));
      gives<string>()(() => bus.request<string>('prices.get'));
      gives<readonly PromiseSettledResult<OrderId>[]>()(() => bus.requestAll([new PlaceOrder('tea')]));
      gives<readonly PromiseSettledResult<number>[]>()(() => bus.requestAll<number>([{ command: 'n', payload: 1 }]));

      // @ts-expect-error -- the reply is an OrderId
      gives<string>()(() => bus.request(new PlaceOrder('tea')));
      // @ts-expect-error -- it is nothing
      gives<string>()(() => bus.request(new ForgetOrders()));
      // @ts-expect-error -- the payload is that of the definition
      void bus.request(Price, { article: 7 });
      // @ts-expect-error -- there is no such option
      void bus.request('prices.get', 1, { exchange: 'other' });
      // @ts-expect-error -- it goes to its queue, or nowhere
      void bus.send('prices.get', 1, { unroutable: 'ignore' });
      // @ts-expect-error -- an answer is awaited at once
      void bus.request('prices.get', 1, { delayMs: 5 });
      // @ts-expect-error -- one reply is no other
      const wrong: Command<number> = new PlaceOrder('tea');
      void wrong;
    };
    expect(typeof calls).toBe('function');
  });

  it('leave nothing behind in the object', () => {
    expect(Object.keys(new PlaceOrder('tea'))).toEqual(['article']);
    expect(JSON.stringify(new ForgetOrders())).toBe('{}');
  });
});
