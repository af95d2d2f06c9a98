import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ACK } from '../../../../lib/core/delivery.js';
import type { BindingRule, Exchange, ExchangeHandler } from '../../../../lib/core/exchange.js';
import { DEFAULTS } from '../../../../lib/core/limits.js';
import type { Headers } from '../../../../lib/core/message.js';
import type { Consumer, Source } from '../../../../lib/core/transport.js';
import { HeadersExchange } from '../../../../lib/exchanges/headers.exchange.js';
import { TopicExchange } from '../../../../lib/exchanges/topic.exchange.js';
import { MemoryTransport } from '../../../../lib/transports/memory/memory.transport.js';
import { aMessage } from '../../support/message.js';

const SETTINGS = {
  timeoutMs: DEFAULTS.publishTimeoutMs,
  window: DEFAULTS.publishWindow,
  messages: DEFAULTS.bufferMessages,
  bytes: DEFAULTS.bufferBytes,
  onFull: 'reject',
  retain: 0,
} as const;

/** A rule of a user's own, which has no index: the last letter counts. */
const LAST_LETTER: ExchangeHandler = {
  type: 'x-last-letter',
  usesHeaders: false,
  assertRule: () => undefined,
  assertTopic: () => undefined,
  matches: ({ pattern = '' }, { topic }) => topic.endsWith(pattern),
  specificity: () => [0],
  overlap: () => true,
};

describe('routes of the memory transport', () => {
  const handler = new TopicExchange();
  const events: Exchange = { name: 'events', handler };
  let transport: MemoryTransport;
  let got: string[];

  beforeEach(async () => {
    got = [];
    transport = new MemoryTransport(SETTINGS);
    await transport.connect({ exchanges: [], sources: [] });
  });
  afterEach(() => transport.close({ deadlineMs: 0 }));

  function source(name: string, rules: readonly BindingRule[], over: Partial<Source> = {}, exchange = events): Source {
    return {
      bindings: rules.map((rule) => ({ ...rule, exchange })),
      owner: 'test',
      deadLetterGroup: 'dead',
      prefetch: 10,
      ...(name !== '' && { group: name }),
      ...over,
    };
  }

  function consume(label: string, from: Source): Promise<Consumer> {
    return transport.consume(from, {
      deliver: (delivery) => {
        got.push(label);
        void delivery.settle(ACK);
      },
    });
  }

  /** The labels of those that got it, and whether there were any. */
  async function reached(topic: string, headers: Headers = {}, exchange = events): Promise<readonly string[]> {
    got = [];
    const message = aMessage({ topic, headers });
    const { routed } = await transport.publish({ kind: 'exchange', exchange }, message);
    // a publish is routed in one turn and handed out in the next
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(routed).toBe(got.length > 0);
    return got;
  }

  it('follow what a group binds and unbinds', async () => {
    const first = source('a', [{ pattern: 'x.*' }]);
    await consume('a', first);
    expect(await reached('x.1')).toEqual(['a']);
    expect(await reached('y.1')).toEqual([]);
    await transport.declare(source('a', [{ pattern: 'y.*' }]));
    expect(await reached('x.1')).toEqual(['a']);
    expect(await reached('y.1')).toEqual(['a']);
    await transport.declare(source('a', [{ pattern: 'y.*' }], { unbind: first.bindings }));
    expect(await reached('x.1')).toEqual([]);
    expect(await reached('x.2')).toEqual([]);
    expect(await reached('y.1')).toEqual(['a']);
    await transport.declare(source('a', [{ pattern: 'x.*' }]));
    expect(await reached('x.1')).toEqual(['a']);
  });

  it('a group bound twice gets one copy, and loses nothing when one binding goes', async () => {
    const both = source('a', [{ pattern: 'x.*' }, { pattern: '#' }, {}]);
    await consume('a', both);
    expect(await reached('x.1')).toEqual(['a']);
    await transport.declare(source('a', [{ pattern: 'x.*' }], { unbind: both.bindings.slice(1, 2) }));
    expect(await reached('x.1')).toEqual(['a']);
    expect(await reached('z')).toEqual(['a']); // by the binding without a pattern
  });

  it('end with a private queue, also when another asks for the same', async () => {
    const [one, two] = await Promise.all(['one', 'two'].map((name) => consume(name, source('', [{ pattern: 'x' }]))));
    expect(await reached('x')).toEqual(['one', 'two']);
    await one?.close();
    expect(await reached('x')).toEqual(['two']);
    await two?.close();
    expect(await reached('x')).toEqual([]);
    await consume('three', source('', [{ pattern: '*' }]));
    expect(await reached('x')).toEqual(['three']);
  });

  it('of a group that was taken over are those of its heir alone', async () => {
    const old = await consume('old', source('old', [{ pattern: 'x' }, { pattern: 'z' }]));
    expect(await reached('x')).toEqual(['old']);
    await old.close();
    await consume('new', source('new', [{ pattern: 'x' }], { previous: ['old'] }));
    expect(await reached('x')).toEqual(['new']);
    expect(await reached('z')).toEqual([]);
  });

  it('go by the oldest queue first', async () => {
    for (const name of ['c', 'a', '', 'b'])
      await consume(name, source(name, [{ pattern: name === 'a' ? '#' : 'x.*' }]));
    expect(await reached('x.1')).toEqual(['c', 'a', '', 'b']);
  });

  it('go by headers for each message, and are not remembered by topic', async () => {
    const exchange: Exchange = { name: 'letters', handler: new HeadersExchange() };
    await consume('pdf', source('pdf', [{ headers: { format: 'pdf' } }], {}, exchange));
    await consume('some', source('some', [{ headers: { format: null } }], {}, exchange));
    await consume('all', source('all', [{}], {}, exchange));
    expect(await reached('t', { format: 'pdf' }, exchange)).toEqual(['pdf', 'some', 'all']);
    expect(await reached('t', { format: 'txt' }, exchange)).toEqual(['some', 'all']);
    expect(await reached('t', {}, exchange)).toEqual(['all']);
    expect(await reached('t', { format: 'pdf' })).toEqual([]); // another exchange
  });

  it('ask a rule without an index, and take its error for that of the publish', async () => {
    const exchange: Exchange = { name: 'own', handler: { ...LAST_LETTER } };
    await consume('b', source('b', [{ pattern: 'b' }], {}, exchange));
    expect(await reached('ab', {}, exchange)).toEqual(['b']);
    expect(await reached('ba', {}, exchange)).toEqual([]);
    const broken: Exchange = {
      name: 'broken',
      handler: {
        ...LAST_LETTER,
        matches: () => {
          throw new Error('my rule is broken');
        },
      },
    };
    await consume('c', source('c', [{ pattern: 'c' }], {}, broken));
    await expect(reached('x', {}, broken)).rejects.toThrow('my rule is broken');
  });

  it('judge each binding by the rule that it came with, also on one name', async () => {
    const sameName: Exchange = { name: 'events', handler: { ...LAST_LETTER } };
    await consume('topic', source('topic', [{ pattern: 'a.*' }]));
    await consume('letter', source('letter', [{ pattern: 'z' }], {}, sameName));
    expect(await reached('a.z')).toEqual(['topic', 'letter']);
    expect(await reached('a.b')).toEqual(['topic']);
    expect(await reached('z')).toEqual(['letter']);
  });

  it('are found for ever new topics without asking each of 1,000 bindings', async () => {
    const matches = jest.spyOn(TopicExchange.prototype, 'matches');
    await consume('mine', source('mine', [{ pattern: 'orders.7.#' }]));
    for (let i = 0; i < 1_000; i++) await transport.declare(source(`g${i}`, [{ pattern: `users.${i}.*` }]));
    for (let i = 0; i < 50; i++) expect(await reached(`orders.7.x${i}`)).toEqual(['mine']);
    expect(matches).not.toHaveBeenCalled();
  });
});
