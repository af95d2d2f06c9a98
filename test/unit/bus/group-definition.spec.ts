import { describe, expect, it } from '@jest/globals';
import { BusExchanges } from '../../../lib/bus/bus-exchanges.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { defineGroups, type HandlerRegistration } from '../../../lib/bus/group-definition.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { fixed } from '../../../lib/core/retry-policy.js';
import type { TransportCapabilities } from '../../../lib/core/transport.js';
import { FanoutExchange } from '../../../lib/exchanges/fanout.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { problemsOf } from '../support/caught.js';
import { FakeTransport } from '../support/fake.transport.js';

type Fields = Partial<HandlerRegistration> & { readonly pattern?: string };

function registration(place: string, { pattern = 'orders.created', ...fields }: Fields = {}): HandlerRegistration {
  return {
    place,
    group: 'mail',
    delivery: 'shared',
    rules: [{ pattern }],
    policy: {},
    invoke: () => undefined,
    ...fields,
  };
}

function define(
  registrations: readonly HandlerRegistration[],
  options: EventBusOptions = {},
  capabilities: Partial<TransportCapabilities> = {},
) {
  const resolved = resolveOptions(options);
  return defineGroups(
    registrations,
    resolved,
    new BusExchanges(resolved, new TopicExchange(), { audit: new FanoutExchange() }),
    new FakeTransport(capabilities).capabilities,
  );
}

const problems = (...args: Parameters<typeof define>) => problemsOf(() => define(...args));

describe('defineGroups', () => {
  it('makes a group of the handlers of one name, in the order in which they came', () => {
    const a = registration('A', { pattern: 'a' });
    const b = registration('B', {
      group: 'audit',
      pattern: '#',
      delivery: 'broadcast',
      startFrom: 'new',
      declare: 'skip',
    });
    const c = registration('C', { pattern: 'c' });
    const groups = define([a, b, c], { consume: { concurrency: 3 } });
    expect(groups).toMatchObject([
      { name: 'mail', delivery: 'shared', ordered: undefined, policy: { concurrency: 3, prefetch: 6, enabled: true } },
      { name: 'audit', delivery: 'broadcast', startFrom: 'new', declare: 'skip' },
    ]);
    expect(groups.map((group) => group.handlers)).toEqual([[a, c], [b]]);
  });

  it('has none without handlers', () => {
    expect(define([])).toEqual([]);
  });

  it('gives a group the policy that its handlers ask for', () => {
    const retry = fixed({ attempts: 2, delayMs: 9 });
    const [group] = define([registration('A', { policy: { timeoutMs: 70, retry } })]);
    expect(group?.policy).toMatchObject({ timeoutMs: 70, retry });
  });

  it('tells all problems at once', () => {
    expect(
      problems([
        registration('A', { pattern: 'x'.repeat(300) }),
        registration('B', { group: 'x', ordered: 'key' }),
        registration('C', { group: 'y', startFrom: 'earliest' }),
      ]),
    ).toHaveLength(3);
  });

  it('leaves the group that keeps what nobody gets to handlers of the alternate exchange', () => {
    const group = 'events.unroutable';
    const [kept] = define([registration('A', { group, exchange: 'events.ae', pattern: '#' })]);
    expect(kept).toMatchObject({ name: group, exchange: 'events.ae' });
    for (const exchange of [undefined, 'audit', 'audit.ae']) {
      expect(problems([registration('A', { group, ...(exchange && { exchange }) })])).toEqual([
        expect.stringMatching(/^A: group "events\.unroutable" .* Say exchange: "events\.ae"/),
      ]);
    }
    expect(define([registration('A', { group, delivery: 'broadcast' })])).toHaveLength(1);
    expect(define([registration('A', { group: 'own', exchange: 'audit.ae' })])).toHaveLength(1);
  });

  it('refuses a pattern that the exchange refuses, and names its place', () => {
    const rules = [{ pattern: 'fine' }, { pattern: 'x'.repeat(300) }];
    expect(problems([registration('A', { rules })])).toEqual([expect.stringMatching(/^A: .+/)]);
  });

  describe('two handlers of one group', () => {
    it.each([
      ['orders.created', 'orders.created'],
      ['orders.*', '*.created'],
    ])('may not have equal right to an event: %s and %s', (left, right) => {
      expect(problems([registration('A', { pattern: left }), registration('B', { pattern: right })])).toEqual([
        expect.stringContaining(`Group "mail": A ("${left}") and B ("${right}")`),
      ]);
    });

    it.each([
      ['orders.created', 'orders.paid'],
      ['orders.*', 'orders.created'],
      ['#', 'orders.*'],
    ])('may ask for what one of them has more right to: %s and %s', (left, right) => {
      expect(define([registration('A', { pattern: left }), registration('B', { pattern: right })])).toHaveLength(1);
    });

    it('are compared rule by rule, each pair once', () => {
      const rules = [{ pattern: 'x' }, { pattern: 'y' }];
      const found = problems([
        registration('A', { rules }),
        registration('B', { rules: [{ pattern: 'z' }, { pattern: 'y' }] }),
        registration('C', { pattern: 'x' }),
      ]);
      expect(found).toEqual([
        expect.stringContaining('A ("y") and B ("y")'),
        expect.stringContaining('A ("x") and C ("x")'),
      ]);
    });

    const event = (type: string, version: number) => ({ event: { type, version } });

    it.each<[string, Fields, Fields, boolean]>([
      ['events of other names', event('a', 1), event('b', 1), true],
      ['other versions of an event', event('a', 1), event('a', 2), true],
      ['the same event', event('a', 1), event('a', 1), false],
      ['one event, the other any', event('a', 1), {}, false],
      ['any, the other one event', {}, event('a', 1), false],
    ])('that understand %s: allowed is %s', (_, left, right, isAllowed) => {
      const both = [registration('A', left), registration('B', right)];
      const defined = () => define(both);
      expect(isAllowed ? defined() : problemsOf(defined)).toHaveLength(1);
    });

    it.each<[string, Fields, Fields]>([
      ['concurrency', { policy: { concurrency: 2, prefetch: 9 } }, { policy: { concurrency: 3, prefetch: 9 } }],
      ['prefetch', { policy: { prefetch: 11 } }, {}],
      ['timeoutMs', {}, { policy: { timeoutMs: 5 } }],
      ['retry', { policy: { retry: false } }, {}],
      [
        'retryable',
        { policy: { retry: { delaysMs: [1], retryable: () => true } } },
        { policy: { retry: { delaysMs: [1] } } },
      ],
      ['delivery', { delivery: 'broadcast' }, {}],
      ['startFrom', { startFrom: 'new' }, {}],
      ['declare', { declare: 'check' }, {}],
      ['ordered', {}, { ordered: 'key' }],
      ['queue', { queue: { name: 'legacy' } }, { queue: { name: 'legacy', bind: true } }],
    ])('must agree about %s', (what, left, right) => {
      const both = [registration('A', { pattern: 'a', ...left }), registration('B', { pattern: 'b', ...right })];
      expect(problems(both)).toEqual([expect.stringMatching(`Group "mail": A and B ask for different ${what}\\. `)]);
    });

    it('agree when operations decide for both', () => {
      const both = [
        registration('A', { pattern: 'a', policy: { concurrency: 2 } }),
        registration('B', { pattern: 'b', policy: { concurrency: 3 } }),
      ];
      expect(define(both, { consume: { groups: { mail: { concurrency: 1 } } } })).toHaveLength(1);
    });

    it('may ask for delays that are equal, and names every difference', () => {
      const retry = () => ({ policy: { retry: { delaysMs: [1, 2] } } });
      expect(
        define([registration('A', { pattern: 'a', ...retry() }), registration('B', { pattern: 'b', ...retry() })]),
      ).toHaveLength(1);
      const left = { pattern: 'a', policy: { timeoutMs: 5, retry: { delaysMs: [12] } } };
      expect(problems([registration('A', left), registration('B', { pattern: 'b', ...retry() })])).toEqual([
        expect.stringContaining('different timeoutMs, retry.'),
      ]);
    });
  });

  describe('the queue of a group', () => {
    it('may have any name, which is taken as it is', () => {
      const [group] = define([registration('A', { queue: { name: 'legacy' } })], { namespace: 'team' });
      expect(group).toMatchObject({ name: 'mail', queue: { name: 'legacy' } });
    });

    it.each<[string, Fields, Fields, EventBusOptions]>([
      ['named by both', { queue: { name: 'legacy' } }, { queue: { name: 'legacy', bind: true } }, {}],
      ['named like the other', { queue: { name: 'b' } }, {}, {}],
      ['named like the other with its namespace', { queue: { name: 'team.b' } }, {}, { namespace: 'team' }],
    ])('cannot be that of another group: %s', (_, left, right, options) => {
      const both = [registration('A', { group: 'a', ...left }), registration('B', { group: 'b', ...right })];
      expect(problems(both, options)).toEqual([
        expect.stringMatching(/^A and B are different groups that consume the same queue ".*"/),
      ]);
    });

    it('may be named like another group that has a namespace in front, or a queue elsewhere', () => {
      const a = registration('A', { group: 'a', queue: { name: 'b' } });
      expect(define([a, registration('B', { group: 'b' })], { namespace: 'team' })).toHaveLength(2);
      expect(define([a, registration('B', { group: 'b', queue: { name: 'c' } })])).toHaveLength(2);
    });

    it('cannot be one that a group takes over because of its old name: it would be unbound and removed', () => {
      const own = [registration('A', { group: 'b', renamedFrom: ['a'], queue: { name: 'a' } })];
      expect(problems(own)).toEqual([expect.stringMatching(/^A: renamedFrom names "a", .* A consumes the queue "a"/)]);
      const other = registration('B', { group: 'x', queue: { name: 'team.a' } });
      const heir = registration('A', { group: 'b', renamedFrom: ['a'] });
      expect(define([heir, other])).toHaveLength(2);
      for (const both of [
        [heir, other],
        [other, heir],
      ])
        expect(problems(both, { namespace: 'team' })).toEqual([
          expect.stringMatching(/^A: renamedFrom names "a", .* B consumes the queue "team.a"/),
        ]);
    });

    it.each([
      [{ name: 'legacy' }, 'queue'],
      [{ type: 'classic' as const }, 'queueType, arguments and bind'],
    ])('is nothing that a broadcast has: %j', (queue, what) => {
      expect(problems([registration('A', { delivery: 'broadcast', queue })])).toEqual([
        expect.stringContaining(`A: rabbitmq.${what} and delivery: 'broadcast' exclude each other`),
      ]);
    });
  });

  describe('a group', () => {
    it('has a name that fits into queue names, namespace included', () => {
      const named = (length: number) => [registration('A', { group: 'g'.repeat(length) })];
      expect(define(named(240))).toHaveLength(1);
      expect(problems(named(241))).toEqual([expect.stringMatching(/^A: .*240 bytes/)]);
      expect(define(named(235), { namespace: 'team' })).toHaveLength(1);
      expect(problems(named(236), { namespace: 'team' })).toHaveLength(1);
      expect(problems([registration('A', { group: 'é'.repeat(121) })])).toHaveLength(1);
    });

    it('does not hold a delivery longer than 25 minutes', () => {
      const held = (prefetch: number, concurrency: number, timeoutMs: number) => [
        registration('A', { policy: { prefetch, concurrency, timeoutMs } }),
      ];
      expect(define(held(10, 10, 1_500_000))).toHaveLength(1);
      expect(problems(held(10, 10, 1_500_001))).toHaveLength(1);
      expect(define(held(20, 10, 750_000))).toHaveLength(1);
      expect(problems(held(21, 10, 750_000))).toEqual([
        expect.stringMatching(/^A: with prefetch 21, concurrency 10 and timeoutMs 750000 .* 38 minutes/),
      ]);
    });

    it('that takes over others holds what their queues send ahead as well', () => {
      const policy = { prefetch: 10, concurrency: 10, timeoutMs: 750_000 };
      expect(define([registration('A', { policy, renamedFrom: ['x'] })])).toHaveLength(1);
      expect(problems([registration('A', { policy, renamedFrom: ['x', 'y'] })])).toEqual([
        expect.stringMatching(/^A: with prefetch 10, .*, and 2 old names .* 38 minutes.* renamedFrom/),
      ]);
    });

    it('is ordered by key only where the transport can', () => {
      const ordered = [registration('A', { ordered: 'key' })];
      expect(define(ordered, {}, { ordered: 'per-key' })[0]?.ordered).toBe('key');
      expect(problems(ordered, {}, { ordered: 'single-consumer' })).toEqual([expect.stringMatching(/^A: ordered/)]);
      expect(define([registration('A')], {}, { ordered: 'never' })).toHaveLength(1);
    });

    it('starts from the earliest only where the transport can', () => {
      const earliest = [registration('A', { startFrom: 'earliest' })];
      expect(define(earliest, {}, { replay: true })[0]?.startFrom).toBe('earliest');
      expect(problems(earliest, {}, { replay: false })).toEqual([expect.stringMatching(/^A: startFrom/)]);
      expect(define([registration('A', { startFrom: 'new' })], {}, { replay: false })).toHaveLength(1);
    });

    it('that is idempotent remembers for longer than it waits for another attempt', () => {
      const idempotent = (windowMs: number, retry?: HandlerRegistration['policy']['retry']) => [
        registration('A', { idempotent: { windowMs }, ...(retry !== undefined && { policy: { retry } }) }),
      ];
      expect(define(idempotent(600_001))).toHaveLength(1);
      expect(problems(idempotent(600_000))).toEqual([expect.stringMatching(/^A: .*windowMs is 600000.* 600000 ms/)]);
      expect(define(idempotent(10, { delaysMs: [9, 3] }))).toHaveLength(1);
      expect(problems(idempotent(9, { delaysMs: [9, 3] }))).toHaveLength(1);
      expect(define(idempotent(1, false))).toHaveLength(1);
      expect(
        problems(idempotent(600_001), { consume: { groups: { '*': { retry: { delaysMs: [700_000] } } } } }),
      ).toEqual([expect.stringMatching(/600001.* 700000 ms/)]);
    });

    it('that is a broadcast cannot be idempotent: only one instance would handle it', () => {
      const fields = { delivery: 'broadcast', idempotent: { windowMs: 3_600_000 } } as const;
      expect(problems([registration('A', fields)])).toEqual([expect.stringMatching(/^A: idempotent.*broadcast/)]);
    });

    const inBatches = (policy: HandlerRegistration['policy'], batch = { size: 10, waitMs: 60_000 }) => [
      registration('A', { policy, batch }),
    ];

    it('of batches has them one at a time, and enough sent ahead', () => {
      const [group] = define(inBatches({}, { size: 50, waitMs: 10 }));
      expect(group).toMatchObject({ batch: { size: 50, waitMs: 10 }, policy: { concurrency: 1, prefetch: 100 } });
    });

    it('of batches does not hold a delivery longer than 25 minutes either', () => {
      // the worst case: behind a batch of one, and 19 others that make two batches; and a wait of a minute
      expect(define(inBatches({ timeoutMs: 480_000 }))).toHaveLength(1);
      expect(problems(inBatches({ timeoutMs: 480_001 }))).toEqual([
        expect.stringMatching(
          /^A: with prefetch 20, concurrency 1 and timeoutMs 480001, batches of 10 that wait 60000 ms a delivery .* 26 minutes/,
        ),
      ]);
      expect(problems(inBatches({ timeoutMs: 480_000 }, { size: 10, waitMs: 60_001 }))).toHaveLength(1);
      expect(define(inBatches({ timeoutMs: 480_000, concurrency: 5 }))).toHaveLength(1);
      expect(define(inBatches({ timeoutMs: 720_000, prefetch: 10 }))).toHaveLength(1);
      expect(problems(inBatches({ timeoutMs: 480_000, prefetch: 22 }))).toHaveLength(1);
    });

    it.each<[string, Fields, Fields]>([
      ['both of batches', { batch: { size: 2, waitMs: 1 } }, { batch: { size: 2, waitMs: 1 } }],
      ['one of batches', {}, { batch: { size: 2, waitMs: 1 } }],
    ])('has one handler when it gets batches: %s', (_, left, right) => {
      const both = [registration('A', { pattern: 'a', ...left }), registration('B', { pattern: 'b', ...right })];
      expect(problems(both)).toContainEqual(
        'Group "mail": A and B share it, and a batch goes to one handler. Give each its own group.',
      );
    });
  });
});
