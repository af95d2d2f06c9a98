import assert from 'node:assert/strict';
import type { BindingRule, Exchange, ExchangeHandler, Routable } from '../../core/exchange.js';
import type { Headers, Message } from '../../core/message.js';
import type { Transport } from '../../core/transport.js';
import { DirectExchange } from '../../exchanges/direct.exchange.js';
import { FanoutExchange } from '../../exchanges/fanout.exchange.js';
import { HeadersExchange } from '../../exchanges/headers.exchange.js';
import type { Bench } from './bench.js';
import type { ContractCase } from './contract.js';
import { transportCase } from './contract-case.js';
import { type Listener, listen } from './listener.js';
import { createMessage, idsOf } from './message.factory.js';
import { quiet, until } from './until.js';

const EVERYTHING = ['', 'a', 'b', 'a.b', 'a.a', 'b.a', 'a.b.c', 'a.x.b', 'a.x.y.b', 'c.a.d', 'a..b', 'a.b.'];

/**
 * 19 patterns with those of the 12 topics above that they match. Written out by hand: an oracle that shares code with
 * the matcher would agree with its mistakes.
 */
const TOPIC_TABLE: Readonly<Record<string, readonly string[]>> = {
  '': [''],
  '#': EVERYTHING,
  '#.#': EVERYTHING,
  '*': ['a', 'b'],
  a: ['a'],
  'a.b': ['a.b'],
  'a.#': ['a', 'a.b', 'a.a', 'a.b.c', 'a.x.b', 'a.x.y.b', 'a..b', 'a.b.'],
  '#.a': ['a', 'a.a', 'b.a'],
  '#.b': ['b', 'a.b', 'a.x.b', 'a.x.y.b', 'a..b'],
  '*.a': ['a.a', 'b.a'],
  'a.*': ['a.b', 'a.a'],
  'a.#.b': ['a.b', 'a.x.b', 'a.x.y.b', 'a..b'],
  'a.*.b': ['a.x.b', 'a..b'],
  '#.a.#': ['a', 'a.b', 'a.a', 'b.a', 'a.b.c', 'a.x.b', 'a.x.y.b', 'c.a.d', 'a..b', 'a.b.'],
  '*.*': ['a.b', 'a.a', 'b.a'],
  '*.*.*': ['a.b.c', 'a.x.b', 'c.a.d', 'a..b', 'a.b.'],
  'a.b.#': ['a.b', 'a.b.c', 'a.b.'],
  'a.b.*': ['a.b.c', 'a.b.'],
  '*.#.b': ['a.b', 'a.x.b', 'a.x.y.b', 'a..b'],
};

interface RouteTable {
  /** Rules by the name of the listener that has them. */
  readonly rules: Readonly<Record<string, readonly BindingRule[]>>;
  readonly messages: readonly { readonly topic: string; readonly headers?: Headers; readonly reaches: string }[];
}

/** Publishes each message and compares who got it. `reaches`: the names of the listeners, each one letter. */
async function checkRoutes(bench: Bench, handler: ExchangeHandler, table: RouteTable): Promise<void> {
  const exchange = bench.newExchange(handler.type, handler);
  const transport = await bench.open();
  const listeners = await listenTo(bench, transport, exchange, table.rules);
  const sent: Message[] = [];
  for (const { topic, headers, reaches } of table.messages) {
    const message = createMessage(topic, headers && { headers });
    sent.push(message);
    const { routed } = await bench.publish(transport, message, exchange);
    if (transport.capabilities.unroutable) assert.equal(routed, reaches !== '', `${topic}: routed`);
  }
  const expected = table.messages.reduce((sum, { reaches }) => sum + reaches.length, 0);
  const total = (): number => [...listeners.values()].reduce((sum, { deliveries }) => sum + deliveries.length, 0);
  await until(`${expected} deliveries`, () => total() >= expected);
  await quiet();
  for (const [index, { id, topic }] of sent.entries()) {
    const got = [...listeners].flatMap(([name, { messages }]) => messages.filter((m) => m.id === id).map(() => name));
    assert.equal(got.toSorted().join(''), table.messages[index]?.reaches, `message ${index} ("${topic}")`);
  }
}

async function listenTo(
  bench: Bench,
  transport: Transport,
  exchange: Exchange,
  rules: RouteTable['rules'],
): Promise<ReadonlyMap<string, Listener>> {
  const listeners = new Map<string, Listener>();
  for (const [name, own] of Object.entries(rules)) {
    const source = bench.own({ bindings: own.map((rule) => ({ ...rule, exchange })) });
    listeners.set(name, await listen(transport, source));
  }
  return listeners;
}

/** A rule that is nobody's: a pattern is what the topic ends with. */
class EndingExchange implements ExchangeHandler {
  readonly type = 'x-event-bus-contract-ending';
  readonly usesHeaders = false;

  assertRule(): void {}

  assertTopic(): void {}

  matches({ pattern = '' }: BindingRule, { topic }: Routable): boolean {
    return topic.endsWith(pattern);
  }

  specificity({ pattern = '' }: BindingRule): readonly number[] {
    return [pattern.length];
  }

  overlap(a: BindingRule, b: BindingRule): boolean {
    const [one = '', two = ''] = [a.pattern, b.pattern];
    return one.endsWith(two) || two.endsWith(one);
  }
}

/** Who gets what. */
export const ROUTING_CASES: readonly ContractCase[] = [
  transportCase('C9 228 pairs of pattern and topic are routed as AMQP says', async (bench) => {
    const transport = await bench.open();
    const rules = Object.fromEntries(Object.keys(TOPIC_TABLE).map((pattern) => [pattern, [{ pattern }]]));
    const listeners = await listenTo(bench, transport, bench.exchange, rules);
    for (const topic of EVERYTHING) await bench.publish(transport, createMessage(topic));
    await Promise.all(
      [...listeners].map(([pattern, { deliveries }]) => deliveries.reach(TOPIC_TABLE[pattern]?.length ?? 0)),
    );
    await quiet();
    for (const [pattern, { messages }] of listeners) {
      const topics = messages.map(({ topic }) => topic).toSorted();
      assert.deepEqual(topics, TOPIC_TABLE[pattern]?.toSorted(), `pattern "${pattern}"`);
    }
  }),

  transportCase('a direct exchange compares whole topics; wildcards are plain characters', (bench) =>
    checkRoutes(bench, new DirectExchange(), {
      rules: { a: [{ pattern: 'orders.created' }], b: [{ pattern: 'orders.*' }], c: [{ pattern: '#' }] },
      messages: [
        { topic: 'orders.created', reaches: 'a' },
        { topic: 'orders.*', reaches: 'b' },
        { topic: '#', reaches: 'c' },
        { topic: 'orders.created.twice', reaches: '' },
      ],
    }),
  ),

  transportCase('a fanout exchange ignores topics and patterns', (bench) =>
    checkRoutes(bench, new FanoutExchange(), {
      rules: { a: [{}], b: [{ pattern: 'never.this' }] },
      messages: [
        { topic: 'orders.created', reaches: 'ab' },
        { topic: '', reaches: 'ab' },
      ],
    }),
  ),

  transportCase(
    'a headers exchange asks for all or any of its headers, equal in value and type, or there with any value',
    (bench) =>
      checkRoutes(bench, new HeadersExchange(), {
        rules: {
          a: [{ headers: { tier: 'gold', eu: true } }],
          b: [{ headers: { tier: 'gold', eu: true }, match: 'any' }],
          c: [{ headers: { level: 3 } }],
          d: [{ headers: { ratio: 0.5 } }],
          e: [{ headers: { ratio: null } }],
          f: [{ headers: { size: 2 ** 60, least: -1e300 } }],
        },
        messages: [
          { topic: 'x', headers: { tier: 'gold', eu: true, more: 'x' }, reaches: 'ab' },
          { topic: 'x', headers: { tier: 'gold' }, reaches: 'b' },
          { topic: 'x', headers: { tier: 'gold', eu: false }, reaches: 'b' },
          { topic: 'x', headers: { tier: 'silver', eu: 'true' }, reaches: '' },
          { topic: 'x', headers: { level: 3 }, reaches: 'c' },
          { topic: 'x', headers: { level: '3' }, reaches: '' },
          { topic: 'x', headers: { ratio: 0.5, level: 4 }, reaches: 'de' },
          { topic: 'x', headers: { ratio: 'half' }, reaches: 'e' },
          { topic: 'x', headers: { size: 2 ** 60, least: -1e300 }, reaches: 'f' },
          { topic: 'x', reaches: '' },
        ],
      }),
  ),

  transportCase('a group that asks for a message by two bindings gets one copy', async (bench) => {
    const source = bench.shared('group', { bindings: bench.bind('orders.*', '*.created', '#') });
    const transport = await bench.open(source);
    const { deliveries } = await listen(transport, source);
    await bench.publish(transport, createMessage('orders.created'));
    await deliveries.settle(1);
  }),

  transportCase('two exchanges with the same topics are two worlds', async (bench) => {
    const other = bench.newExchange('other');
    const here = bench.shared('here');
    const there = bench.shared('there', { bindings: [{ exchange: other, pattern: '#' }] });
    const transport = await bench.open(here, there);
    const [left, right] = await Promise.all([listen(transport, here), listen(transport, there)]);
    const [one, two] = [createMessage('same'), createMessage('same')];
    await bench.publish(transport, one);
    await bench.publish(transport, two, other);
    await Promise.all([left.deliveries.settle(1), right.deliveries.settle(1)]);
    assert.deepEqual([idsOf(left.messages), idsOf(right.messages)], [[one.id], [two.id]]);
  }),

  transportCase('one source takes from two exchanges of different types', async (bench) => {
    const fanout = bench.newExchange('fanout', new FanoutExchange());
    const bindings = [...bench.bind('orders.*'), { exchange: fanout, pattern: 'orders.*' }];
    const source = bench.shared('group', { bindings });
    const transport = await bench.open(source);
    const { deliveries, messages } = await listen(transport, source);
    const sent = [createMessage('orders.one'), createMessage('orders.two'), createMessage('anything')];
    await bench.publish(transport, sent[0] ?? createMessage(''));
    await bench.publish(transport, sent[1] ?? createMessage(''), fanout);
    await bench.publish(transport, sent[2] ?? createMessage(''), fanout);
    await deliveries.settle(3);
    assert.deepEqual(idsOf(messages), idsOf(sent));
  }),

  transportCase(
    'a rule of a type that no broker has routes as it says, for groups and for private sources',
    async (bench) => {
      const own = bench.newExchange('own', new EndingExchange());
      const shared = bench.shared('group', { bindings: [{ exchange: own, pattern: '.created' }] });
      const transport = await bench.open(shared);
      const some = await listen(transport, shared);
      const all = await listen(transport, bench.own({ bindings: [{ exchange: own, pattern: '' }] }));
      const sent = ['orders.created', 'orders.paid', 'created', 'users.created'].map((topic) => createMessage(topic));
      for (const message of sent) assert.deepEqual(await bench.publish(transport, message, own), { routed: true });
      await Promise.all([some.deliveries.settle(2), all.deliveries.settle(4)]);
      assert.deepEqual(idsOf(some.messages), idsOf(sent.filter(({ topic }) => topic.endsWith('.created'))));
      assert.deepEqual(idsOf(all.messages), idsOf(sent));
    },
  ),

  transportCase('a source brings along an exchange that nobody has declared before', async (bench) => {
    const transport = await bench.open();
    const late = bench.newExchange('late');
    const source = bench.shared('group', { bindings: [{ exchange: late, pattern: 'a.*' }] });
    await transport.declare(source);
    assert.deepEqual(await bench.publish(transport, createMessage('a.b'), late), { routed: true });
    const { deliveries } = await listen(transport, source);
    await deliveries.settle(1);
  }),

  transportCase('declaring again keeps what waits and adds the new bindings', async (bench) => {
    const before = bench.shared('group', { bindings: bench.bind('a') });
    const after = bench.shared('group', { bindings: bench.bind('a', 'b') });
    const transport = await bench.open(before);
    await bench.publish(transport, createMessage('a'));
    await transport.declare(after);
    await transport.declare(after);
    await bench.publish(transport, createMessage('b'));
    const { deliveries, messages } = await listen(transport, after);
    await deliveries.settle(2);
    assert.deepEqual(messages.map(({ topic }) => topic).toSorted(), ['a', 'b']);
  }),

  transportCase(
    'a private source gets a copy of its own, only of what comes later, and vanishes when closed',
    async (bench) => {
      const transport = await bench.open();
      await bench.publish(transport, createMessage('before'));
      const [one, two] = await Promise.all([listen(transport, bench.own()), listen(transport, bench.own())]);
      assert.deepEqual(await bench.publish(transport, createMessage('both')), { routed: true });
      await Promise.all([one.deliveries.settle(1), two.deliveries.settle(1)]);
      await one.consumer.close();
      await bench.publish(transport, createMessage('second'));
      await two.deliveries.settle(2);
      await two.consumer.close();
      const { routed } = await bench.publish(transport, createMessage('nobody'));
      if (transport.capabilities.unroutable) assert.equal(routed, false);
      assert.equal(one.deliveries.length, 1);
    },
  ),
];
