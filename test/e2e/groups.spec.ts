import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { ConfigurationError, DirectExchange, OnEvent, type OnEventOptions } from '../../lib/index.js';
import { type Lab, withLab } from '../support/lab.js';

function memory(test: (lab: Lab) => Promise<void>): () => Promise<void> {
  return withLab(undefined, test);
}

/** Boots with these providers, which must fail with a ConfigurationError. */
async function refused(lab: Lab, ...providers: readonly Type[]): Promise<ConfigurationError> {
  const error = await lab.bootFails({ providers: [...providers] });
  expect(error).toBeInstanceOf(ConfigurationError);
  return error as ConfigurationError;
}

function listenerWith(options: OnEventOptions): Type {
  @Injectable()
  class OrderListener {
    @OnEvent('orders.*', options)
    on(): void {}
  }
  return OrderListener;
}

describe('groups', () => {
  it.each<readonly [string, OnEventOptions, OnEventOptions, RegExp]>([
    ['equal right', {}, {}, /equal right to the same events/],
    ['different concurrency', { concurrency: 1 }, {}, /different concurrency/],
    ['different retries', { retry: { delaysMs: [1] } }, { retry: false }, /different retry/],
    ['different queues', { rabbitmq: { queue: 'legacy' } }, {}, /different queue/],
    ['different timeouts', { timeoutMs: 10 }, { timeoutMs: 20 }, /different timeoutMs/],
  ])('%s in one group: an error naming both places', async (_, left, right, text) => {
    await memory(async (lab) => {
      @Injectable()
      class OneListener {
        @OnEvent('orders.*', { group: 'mail', ...left })
        one(): void {}
      }
      @Injectable()
      class TwoListener {
        @OnEvent('*.created', { group: 'mail', ...right })
        two(): void {}
      }
      const { message } = await refused(lab, OneListener, TwoListener);
      expect(message).toMatch(text);
      expect(message).toMatch(/OneListener\.one/);
      expect(message).toMatch(/TwoListener\.two/);
    })();
  });

  it.each<readonly [string, object, RegExp]>([
    ['group and broadcast', { group: 'mail', delivery: 'broadcast' }, /exclude each other/],
    ['ordered by something', { ordered: 'id' }, /ordered must be one of "key"/],
    ['a misspelt option', { groop: 'mail' }, /groop .*"group"/],
    ['a group name with spaces', { group: 'my mail' }, /group must be/],
    ['held for more than 25 minutes', { timeoutMs: 16 * 60_000 }, /32 minutes; the limit is 25/],
    ['held through prefetch', { timeoutMs: 60_000, concurrency: 1, prefetch: 26 }, /26 minutes; the limit is 25/],
    [
      'an argument that no queue has',
      { rabbitmq: { arguments: { x: { y: 1 } } } },
      /arguments\["x"\] must be a string/,
    ],
    ['a number that is none', { rabbitmq: { arguments: { x: Number.NaN } } }, /arguments\["x"\] must be a string/],
    ['a queue of its own for a broadcast', { delivery: 'broadcast', rabbitmq: { queue: 'q' } }, /queue and delivery: /],
    ['a schema that is none', { schema: {} }, /schema must be a Standard Schema/],
  ])('%s is refused, naming the place', async (_, options, text) => {
    await memory(async (lab) => {
      const { message } = await refused(lab, listenerWith(options as OnEventOptions));
      expect(message).toMatch(text);
      expect(message).toMatch(/OrderListener\.on/);
    })();
  });

  it(
    'exactly 25 minutes is allowed, and a wildcard on a direct exchange is a literal that is warned of once',
    memory(async (lab) => {
      const Listener = listenerWith({ timeoutMs: 60_000, concurrency: 1, prefetch: 25 });
      const { bus } = await lab.boot({ providers: [Listener], options: { exchange: new DirectExchange() } });
      expect((await bus.publish('orders.*', 1)).routed).toBe(true);
      expect((await bus.publish('orders.created', 1)).routed).toBe(false);
      expect(lab.lines.filter((line) => /^warn .*orders\.\*/.test(line))).toHaveLength(1);
    }),
  );

  it(
    'problems of several handlers come in one error',
    memory(async (lab) => {
      @Injectable()
      class OtherListener {
        @OnEvent('orders.*', { concurrency: 0 })
        other(): void {}
      }
      const { problems } = await refused(lab, listenerWith({ groop: 'mail' } as object), OtherListener);
      expect(problems).toHaveLength(2);
    }),
  );
});
