import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Controller, Injectable, Module, type Type } from '@nestjs/common';
import {
  ConfigurationError,
  defineEvent,
  Event,
  type EventContext,
  OnEvent,
  type OnEventOptions,
} from '../../lib/index.js';
import { Log } from '../../lib/testing/contract/log.js';
import { type Lab, withLab } from '../support/lab.js';

const DURABLE = 'amqp://127.0.0.1:1'; // refused before anything connects

function memory(test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return withLab(undefined, test);
}

/** Boots with these providers, which must fail with a ConfigurationError. */
async function refused(lab: Lab, ...providers: readonly Type[]): Promise<ConfigurationError> {
  const error = await lab.bootFails({ providers: [...providers] });
  expect(error).toBeInstanceOf(ConfigurationError);
  return error as ConfigurationError;
}

function listenerWith(options: OnEventOptions, pattern: string | readonly string[] = 'orders.*'): Type {
  @Injectable()
  class OrderListener {
    @OnEvent(pattern, options)
    on(): void {}
  }
  return OrderListener;
}

describe('patterns', () => {
  it(
    'can be a topic, several of them, an @Event class, a definition',
    memory(async (lab) => {
      @Event('users.created', { version: 2 })
      class UserCreated {
        constructor(readonly name: string) {}
      }
      const Paid = defineEvent<{ sum: number }>('orders.paid');
      const seen = new Log<string>('events');
      @Injectable()
      class AnyListener {
        @OnEvent('a.*')
        one(_payload: unknown, { topic }: EventContext): void {
          seen.add(`one ${topic}`);
        }
        @OnEvent(['b.one', 'c.#'])
        several(_payload: unknown, { topic }: EventContext): void {
          seen.add(`several ${topic}`);
        }
        @OnEvent(UserCreated)
        typed({ name }: UserCreated): void {
          seen.add(`typed ${name}`);
        }
        @OnEvent(Paid)
        defined({ sum }: { sum: number }): void {
          seen.add(`defined ${sum}`);
        }
      }
      const { bus } = await lab.boot({ providers: [AnyListener] });
      for (const topic of ['a.x', 'b.one', 'c', 'c.d.e']) expect((await bus.publish(topic, 1)).routed).toBe(true);
      for (const topic of ['a', 'b.two']) expect((await bus.publish(topic, 1)).routed).toBe(false);
      await bus.publish(new UserCreated('Ada'));
      await bus.publish(Paid, { sum: 7 });
      const all = [...(await seen.settle(6))].toSorted();
      expect(all).toEqual(['defined 7', 'one a.x', 'several b.one', 'several c', 'several c.d.e', 'typed Ada']);
    }),
  );

  it(
    'a repeated decorator makes a group of its own each',
    memory(async (lab) => {
      const seen = new Log<string>('events');
      @Injectable()
      class TwiceListener {
        @OnEvent('orders.*')
        @OnEvent('orders.created')
        @OnEvent('users.*', { group: 'users' })
        on(_payload: unknown, { group, topic }: EventContext): void {
          seen.add(`${group} ${topic}`);
        }
      }
      const { bus } = await lab.boot({ providers: [TwiceListener] });
      await bus.publish('orders.created', 1);
      await bus.publish('users.created', 1);
      await bus.publish('orders.paid', 1);
      const [first, second] = [`${lab.service}.TwiceListener.on`, `${lab.service}.TwiceListener.on.2`];
      expect([...(await seen.settle(4))].toSorted()).toEqual(
        [
          `${first} orders.created`,
          `${first} orders.paid`,
          `${second} orders.created`,
          'users users.created',
        ].toSorted(),
      );
    }),
  );

  it(
    'a class without @Event is refused, naming class and place',
    memory(async (lab) => {
      class NotAnEvent {}
      @Injectable()
      class BadListener {
        @OnEvent(NotAnEvent)
        on(): void {}
      }
      const { message } = await refused(lab, BadListener);
      expect(message).toMatch(/BadListener\.on .*NotAnEvent is not an event/);
    }),
  );

  it.each<readonly [string, string | readonly string[]]>([
    ['a pattern of more than 255 bytes', `a.${'ü'.repeat(127)}`],
    ['one bad pattern of several', ['orders.*', 'x'.repeat(256)]],
    ['an empty list', []],
    ['an empty string in a list', ['']],
  ])('%s is refused, naming the place', async (_, pattern) => {
    await memory(async (lab) => {
      const { message } = await refused(lab, listenerWith({}, pattern));
      expect(message).toMatch(/OrderListener\.on \(/);
    })();
  });

  it(
    'a pattern of exactly 255 bytes works',
    memory(async (lab) => {
      const topic = 'x'.repeat(255);
      const { bus } = await lab.boot({ providers: [listenerWith({}, topic)] });
      expect((await bus.publish(topic, 1)).routed).toBe(true);
    }),
  );
});

describe('inheritance', () => {
  abstract class Base {
    readonly seen: string[] = [];
    abstract readonly log: Log<string>;
    @OnEvent('orders.*')
    inherited(): void {
      this.log.add(`${this.constructor.name} inherited`);
    }
    @OnEvent('orders.*')
    replaced(): void {
      this.log.add(`${this.constructor.name} replaced by nobody`);
    }
  }

  it(
    'inherited methods are found, each subclass with a group of its own; an override without decorator is silent',
    memory(async (lab) => {
      const log = new Log<string>('events');
      @Injectable()
      class LeftListener extends Base {
        readonly log = log;
      }
      @Injectable()
      class RightListener extends Base {
        readonly log = log;
        override replaced(): void {
          log.add('never');
        }
      }
      const { bus } = await lab.boot({ providers: [LeftListener, RightListener] });
      await bus.publish('orders.created', 1);
      expect([...(await log.settle(3))].toSorted()).toEqual([
        'LeftListener inherited',
        'LeftListener replaced by nobody',
        'RightListener inherited',
      ]);
      expect(Object.keys(bus.stats().groups).toSorted()).toEqual(
        ['LeftListener.inherited', 'LeftListener.replaced', 'RightListener.inherited'].map(
          (n) => `${lab.service}.${n}`,
        ),
      );
    }),
  );
});

describe('where handlers are', () => {
  it(
    'the same class in two modules is an error naming both',
    memory(async (lab) => {
      const Listener = listenerWith({});
      @Module({ providers: [Listener] })
      class LeftModule {}
      @Module({ providers: [Listener] })
      class RightModule {}
      const error = await lab.bootFails({ imports: [LeftModule, RightModule] });
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toMatch(/OrderListener\.on \(LeftModule\)/);
      expect(error.message).toMatch(/OrderListener\.on \(RightModule\)/);
    }),
  );

  it(
    'exported and imported, or aliased with useExisting, it is handled once',
    memory(async (lab) => {
      const log = new Log<unknown>('events');
      @Injectable()
      class OrderListener {
        @OnEvent('orders.*')
        on(payload: unknown): void {
          log.add(payload);
        }
      }
      @Module({
        providers: [OrderListener, { provide: 'ALIAS', useExisting: OrderListener }],
        exports: [OrderListener],
      })
      class Owner {}
      @Module({ imports: [Owner] })
      class User {}
      const { bus } = await lab.boot({ imports: [Owner, User] });
      await bus.publish('orders.created', 1);
      expect(await log.settle(1)).toEqual([1]);
    }),
  );

  it(
    'useFactory, useValue and controllers are found as well',
    memory(async (lab) => {
      const log = new Log<string>('events');
      const make = (name: string) => {
        @Injectable()
        class Listener {
          @OnEvent('orders.*', { group: name })
          on(): void {
            log.add(name);
          }
        }
        return Listener;
      };
      const [ByFactory, ByValue, Plain] = [make('factory'), make('value'), make('controller')];
      Controller()(Plain);
      const { bus } = await lab.boot({
        providers: [
          { provide: 'FACTORY', useFactory: () => new ByFactory() },
          { provide: 'VALUE', useValue: new ByValue() },
        ],
        controllers: [Plain],
      });
      await bus.publish('orders.created', 1);
      expect([...(await log.settle(3))].toSorted()).toEqual(['controller', 'factory', 'value']);
    }),
  );

  it(
    'providers that are null, primitive, or throw in a getter do no harm',
    memory(async (lab) => {
      class Awkward {
        get trap(): never {
          throw new Error('do not touch');
        }
      }
      const providers = [
        { provide: 'NULL', useValue: null },
        { provide: 'TEXT', useValue: 'text' },
        { provide: 'BARE', useValue: Object.create(null) as object },
        { provide: 'FUNCTION', useValue: () => 1 },
        Awkward,
      ];
      const { bus } = await lab.boot({ providers });
      expect(bus.status).toBe('up');
    }),
  );

  it('a class name of two letters needs a group where queues last', async () => {
    const minified = (options: OnEventOptions): Type => {
      @Injectable()
      class t {
        @OnEvent('orders.*', options)
        on(): void {}
      }
      return t;
    };
    await withLab(DURABLE, async (lab) => {
      const { message } = await refused(lab, minified({}));
      expect(message).toMatch(/named "t".*Give it a group/);
    })();
    await memory(async (lab) => {
      expect((await lab.boot({ providers: [minified({})] })).bus.status).toBe('up');
    })();
    await withLab(DURABLE, async (lab) => {
      const options = { startup: { timeoutMs: 100 } };
      const error = await lab.bootFails({ providers: [minified({ group: 'mail' })], options });
      expect(error.code).toBe('CONNECTION'); // the name is no problem any more
    })();
  });
});
