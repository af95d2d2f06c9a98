import assert from 'node:assert/strict';
import { Injectable, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { ConfigurationError } from '../../core/errors.js';
import { OnCommand } from '../../decorators/on-command.decorator.js';
import type { EventBusModuleOptions } from '../../event-bus.lifecycle.js';
import { EventBusService } from '../../event-bus.service.js';
import { compressed } from '../../serializers/compressed.serializer.js';
import { encrypted } from '../../serializers/encrypted.serializer.js';
import { JsonSerializer } from '../../serializers/json.serializer.js';
import { commandHandler, rejection, remoteError } from './commands.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';

const json = new JsonSerializer();
const KEYS = { keys: { one: Buffer.alloc(32, 1) }, activeKeyId: 'one' };

/** Serializers that can write any text, by what they are called. */
const SERIALIZERS: Readonly<Record<string, NonNullable<EventBusModuleOptions['serializer']>>> = {
  json,
  structured: 'structured',
  text: 'text',
  encrypted: encrypted(json, KEYS),
  compressed: compressed(json, { minBytes: 1 }),
  both: encrypted(compressed(json, { minBytes: 1 }), KEYS),
};

/** Echoes, fails when it is told so, and gives nothing when it is told so. */
const echo = commandHandler('say', (payload) => {
  if (payload === 'nothing') return undefined;
  if (payload === 'fail') throw Object.assign(new Error('as asked'), { code: 'ASKED', details: { of: 'fail' } });
  return payload;
});

async function assertEchoes(bus: EventBusService): Promise<void> {
  assert.equal(await bus.request('say', 'hello'), 'hello');
  assert.equal(await bus.request('say', 'nothing'), undefined);
  const { code, message, details } = await remoteError(bus.request('say', 'fail'));
  assert.deepEqual({ code, message, details }, { code: 'ASKED', message: 'as asked', details: { of: 'fail' } });
}

/** A command has one handler in the whole system, whatever the bus is made of. */
export const COMMAND_SYSTEM_CASES: readonly ContractCase[] = [
  busCase('commands: a second handler in one application fails the boot, naming both', async (bench) => {
    @Injectable()
    class FirstOrders {
      @OnCommand('orders.place')
      place(): void {}
    }
    @Injectable()
    class SecondOrders {
      @OnCommand('orders.place')
      order(): void {}
    }
    const error = await bench.startFails({ providers: [FirstOrders, SecondOrders] });
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, /FirstOrders\.place/);
    assert.match(error.message, /SecondOrders\.order/);
    assert.match(error.message, /orders\.place/);
  }),

  busCase(
    'commands: a name with a wildcard, without a word or too long fails the boot and the call; so do several names',
    async (bench) => {
      const { bus } = await bench.start();
      for (const name of ['orders.*', '#', '', 'w'.repeat(300)]) {
        const error = await bench.startFails({ providers: [commandHandler(name, () => undefined)] });
        assert.ok(error instanceof ConfigurationError, name);
        assert.match(error.message, /CommandHandler\.on/);
        assert.ok((await rejection(bus.request(name, 1))) instanceof ConfigurationError, name);
        assert.ok((await rejection(bus.send(name, 1))) instanceof ConfigurationError, name);
      }
      const several = ['orders.place', 'orders.cancel'] as unknown as string;
      const error = await bench.startFails({ providers: [commandHandler(several, () => undefined)] });
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /CommandHandler\.on.*one name/);
    },
  ),

  busCase(
    'commands: two instances share the queue, and each request is handled once',
    async (bench) => {
      const seen = new Log<unknown>('payloads');
      const start = (name: string) => {
        const handler = commandHandler('orders.place', (payload) => {
          seen.add(payload);
          return [name, payload];
        });
        return bench.start({ providers: [handler] });
      };
      const [one] = [await start('one'), await start('two')];
      const count = 60;
      const all = Array.from({ length: count }, (_, n) => n);
      const answers = await Promise.all(all.map((n) => one.bus.request<[string, number]>('orders.place', n)));
      assert.deepEqual(
        answers.map(([, n]) => n),
        all,
      );
      assert.deepEqual(new Set(answers.map(([name]) => name)), new Set(['one', 'two']));
      await seen.settle(count);
    },
    'shared',
  ),

  busCase(
    'commands: one service asks another, which has a queue by the name of the command alone',
    async (bench) => {
      await bench.start({ providers: [echo], options: { service: `${bench.name}.other` } });
      const { bus } = await bench.start();
      await assertEchoes(bus);
    },
    'shared',
  ),

  busCase('commands: a namespace is in front of their queues', async (bench) => {
    const namespace = bench.group('namespace');
    const names = ['', '.broadcast', '.control'].map((suffix) => `${namespace}.${bench.exchange.name}${suffix}`);
    bench.willRemove(...names);
    const { bus, deadLetters } = await bench.start({ providers: [echo], options: { namespace } });
    await assertEchoes(bus);
    assert.equal(await deadLetters.count(`${bench.exchange.name}.command.say`), 0);
  }),

  busCase('commands: a subscription to all events sees neither them nor their answers', async (bench) => {
    const events = new Log<string>('events');
    const { bus } = await bench.start({ providers: [echo] });
    await bus.subscribe('#', (_, { topic }) => events.add(topic));
    await assertEchoes(bus);
    await bus.send('say', 'hello');
    await bus.publish('say', 'an event of the same name');
    assert.deepEqual(await events.settle(1), ['say']);
  }),

  ...(['direct', 'fanout', 'headers', 'x-rtopic'] as const).map((type) =>
    busCase(`commands: they do not care for the exchange type: ${type}`, async (bench) => {
      const exchange = bench.newExchange(`${type}-events`).name;
      bench.willRemove(`${exchange}.broadcast`, `${exchange}.control`);
      const { bus } = await bench.start({ providers: [echo], options: { exchange: { name: exchange, type } } });
      await assertEchoes(bus);
      await bus.send('say', 'hello');
    }),
  ),

  ...Object.entries(SERIALIZERS).map(([name, serializer]) =>
    busCase(`commands: answers and errors come through every serializer: ${name}`, async (bench) => {
      const { bus } = await bench.start({ providers: [echo], options: { serializer } });
      await assertEchoes(bus);
    }),
  ),

  busCase('commands: asking oneself while the application boots rejects at once', async (bench) => {
    const errors = new Log<unknown>('errors');
    @Injectable()
    class Impatient implements OnModuleInit, OnApplicationBootstrap {
      constructor(private readonly bus: EventBusService) {}
      async onModuleInit(): Promise<void> {
        errors.add(await rejection(this.bus.request('say', 'hello')));
      }
      async onApplicationBootstrap(): Promise<void> {
        errors.add(await rejection(this.bus.request('say', 'hello')));
        await this.bus.send('say', 'hello'); // waits in the queue
      }
    }
    const before = Date.now();
    const { bus } = await bench.start({ providers: [echo, Impatient] });
    assert.ok(Date.now() - before < 5_000);
    assert.deepEqual(
      errors.items.map((error) => error instanceof ConfigurationError),
      [true, true],
    );
    assert.match(String(errors.items[0]), /bootstrap/);
    await assertEchoes(bus);
  }),

  busCase(
    'commands: another application is asked while this one boots',
    async (bench) => {
      await bench.start({ providers: [echo] });
      const answers = new Log<unknown>('answers');
      @Injectable()
      class Curious implements OnModuleInit, OnApplicationBootstrap {
        constructor(private readonly bus: EventBusService) {}
        async onModuleInit(): Promise<void> {
          answers.add(await this.bus.request('say', 'init'));
        }
        async onApplicationBootstrap(): Promise<void> {
          answers.add(await this.bus.request('say', 'bootstrap'));
        }
      }
      await bench.start({ providers: [Curious], options: { service: `${bench.name}.other` } });
      assert.deepEqual(answers.items, ['init', 'bootstrap']);
    },
    'shared',
  ),
];
