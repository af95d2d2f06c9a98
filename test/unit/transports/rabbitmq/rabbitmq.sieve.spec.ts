import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Channel } from 'amqplib';
import fc from 'fast-check';
import type { Binding, Exchange, ExchangeHandler } from '../../../../lib/core/exchange.js';
import { HeadersExchange, TopicExchange } from '../../../../lib/index.js';
import type { Received } from '../../../../lib/transports/rabbitmq/rabbitmq.codec.js';
import type { RabbitMqRuleTables, RuleTable } from '../../../../lib/transports/rabbitmq/rabbitmq.rule-table.js';
import { RabbitMqSieve, type SharedRules } from '../../../../lib/transports/rabbitmq/rabbitmq.sieve.js';
import { LabelledExchange, ReversedExchange } from '../../../support/own-exchanges.js';

const exchange: Exchange = { name: 'orders', handler: new ReversedExchange() };

function arrival(name: string, routingKey: string, headers: Readonly<Record<string, unknown>> = {}): Received {
  return { content: Buffer.alloc(0), fields: { exchange: name, routingKey }, properties: { headers } } as never;
}

const sieveOf = (handler: ExchangeHandler, ...rules: readonly Omit<Binding, 'exchange'>[]): RabbitMqSieve =>
  new RabbitMqSieve(rules.map((rule) => ({ ...rule, exchange: { name: 'orders', handler } })));

/** A table as it is at the broker, and how often it was read. */
class FakeTable {
  version = 0;
  rules: RuleTable['rules'] = [];
  epoch = 'first';
  doubtUntil = 0;
  asked = 0;
  read = 0;
  /** What was given to be written down, unless the table is of that epoch. */
  readonly written: (readonly [patterns: readonly (string | undefined)[], unlessEpoch: string | undefined])[] = [];

  readonly channel = {
    checkQueue: async (queue: string) => {
      if (queue !== 'queue.changes') throw new Error(`There is no queue "${queue}".`);
      this.asked++;
      return { messageCount: this.version };
    },
  } as unknown as Channel;

  get shared(): SharedRules {
    const enter = async (...given: Parameters<RabbitMqRuleTables['enter']>): Promise<RuleTable> => {
      const [, queue, added = [], removed = [], unlessEpoch] = given;
      expect([queue, removed]).toEqual(['queue', []]);
      this.read++;
      this.written.push([added.map(({ pattern }) => pattern), unlessEpoch]);
      return this.table;
    };
    const tables = { enter } as unknown as RabbitMqRuleTables;
    return { queue: 'queue', connection: {} as never, tables, isMember: true };
  }

  get table(): RuleTable {
    const { version, rules, epoch, doubtUntil } = this;
    return { version, rules, epoch, doubtUntil };
  }
}

afterEach(() => {
  jest.useRealTimers();
});

describe('RabbitMqSieve', () => {
  it('lets pass what one of the rules asks for, by the rule of that exchange', () => {
    const sieve = sieveOf(new ReversedExchange(), { pattern: 'orders.created' }, { pattern: 'orders.paid' });
    expect(['orders.*', '#', 'orders.paid'].every((topic) => sieve.passes(arrival('orders', topic)))).toBe(true);
    expect(['users.*', '', 'orders'].some((topic) => sieve.passes(arrival('orders', topic)))).toBe(false);
  });

  it('gives the answer of the rule, whatever the rules and the topic', () => {
    const word = fc.constantFrom('a', 'b', '*', '#', '');
    const words = fc.array(word, { maxLength: 4 }).map((list) => list.join('.'));
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 4 }), words, (patterns, topic) => {
        const rule = new ReversedExchange();
        const wanted = patterns.some((pattern) => rule.matches({ pattern }, { topic, headers: {} }));
        const sieve = sieveOf(rule, ...patterns.map((pattern) => ({ pattern })));
        expect(sieve.passes(arrival('orders', topic))).toBe(wanted);
      }),
    );
  });

  it('judges neither copies nor what came by another exchange', () => {
    const sieve = sieveOf(new ReversedExchange(), { pattern: 'a' });
    expect([arrival('', 'x'), arrival('others', 'x')].every((received) => sieve.passes(received))).toBe(true);
  });

  it('reads headers where the rule does', () => {
    const sieve = sieveOf(new LabelledExchange(), { headers: { format: 'pdf' } });
    expect(sieve.passes(arrival('orders', 'x', { format: 'pdf' }))).toBe(true);
    expect(sieve.passes(arrival('orders', 'x', { format: 'txt' }))).toBe(false);
  });

  it('lets pass what it cannot judge: headers that cannot be read, and a rule that fails', () => {
    const sieve = sieveOf(new LabelledExchange(), { headers: { format: 'pdf' } });
    expect(sieve.passes(arrival('orders', 'x', { 'eb-unreadable': true }))).toBe(true);
    const failing = new ReversedExchange();
    failing.matches = () => {
      throw new Error('as asked');
    };
    expect(sieveOf(failing, { pattern: 'a' }).passes(arrival('orders', 'x'))).toBe(true);
  });

  it('keeps the rules of several exchanges apart', () => {
    const sieve = new RabbitMqSieve([
      { exchange, pattern: 'a' },
      { exchange: { name: 'labels', handler: new LabelledExchange() }, headers: { format: 'pdf' } },
    ]);
    expect(sieve.passes(arrival('orders', 'a', { format: 'txt' }))).toBe(true);
    expect(sieve.passes(arrival('labels', 'a', { format: 'txt' }))).toBe(false);
  });

  it('alone is sure; with a table of its group it takes rules of others from there, once for each change', async () => {
    expect(sieveOf(new TopicExchange(), { pattern: 'a' }).isSure).toBe(true);
    expect(sieveOf(new HeadersExchange()).isSure).toBe(true);
    const table = new FakeTable();
    table.rules = [
      { exchange: 'orders', pattern: 'b' },
      { exchange: 'elsewhere', pattern: 'c' },
    ];
    const sieve = new RabbitMqSieve([{ exchange, pattern: 'a' }], table.shared, table.table);
    expect(sieve.isSure).toBe(false);
    const passing = (): readonly string[] => ['a', 'b', 'c'].filter((topic) => sieve.passes(arrival('orders', topic)));
    expect(passing()).toEqual(['a', 'b']);
    await sieve.renew(table.channel, true);
    expect([table.asked, table.read]).toEqual([1, 0]);
    table.version++;
    table.rules = [{ exchange: 'orders', pattern: 'c' }];
    await sieve.renew(table.channel, true);
    await sieve.renew(table.channel, true);
    expect([table.asked, table.read]).toEqual([3, 1]);
    expect(passing()).toEqual(['a', 'c']);
  });

  it('has its own rules written down again when those of its group were lost', async () => {
    const table = new FakeTable();
    const sieve = new RabbitMqSieve([{ exchange, pattern: 'a' }], table.shared, table.table);
    table.version++;
    await sieve.renew(table.channel, false);
    expect(table.written).toEqual([[['a'], 'first']]);
    const drain = new RabbitMqSieve(
      [{ exchange, pattern: 'a' }],
      { ...table.shared, isMember: false },
      { ...table.table, version: 0 },
    );
    await drain.renew(table.channel, true);
    expect(table.written[1]).toEqual([[], 'first']);
  });

  it('drops nothing while rules that were lost may be missing', async () => {
    jest.useFakeTimers();
    const table = new FakeTable();
    const sieve = new RabbitMqSieve([{ exchange, pattern: 'a' }], table.shared, table.table);
    expect([sieve.isInDoubt, sieve.passes(arrival('orders', 'b'))]).toEqual([false, false]);
    table.version++;
    table.doubtUntil = Date.now() + 1_000;
    await sieve.renew(table.channel, true);
    expect([sieve.isInDoubt, sieve.passes(arrival('orders', 'b'))]).toEqual([true, true]);
    jest.advanceTimersByTime(1_000);
    expect([sieve.isInDoubt, sieve.passes(arrival('orders', 'b'))]).toEqual([false, false]);
  });

  it('believes an unchanged number of changes for a while only, when something would be dropped', async () => {
    jest.useFakeTimers();
    const table = new FakeTable();
    const sieve = new RabbitMqSieve([{ exchange, pattern: 'a' }], table.shared, table.table);
    table.rules = [{ exchange: 'orders', pattern: 'b' }];
    await sieve.renew(table.channel, true);
    jest.advanceTimersByTime(10_000);
    await sieve.renew(table.channel, false);
    expect(table.read).toBe(0);
    await sieve.renew(table.channel, true);
    expect([table.read, sieve.passes(arrival('orders', 'b'))]).toEqual([1, true]);
  });
});
