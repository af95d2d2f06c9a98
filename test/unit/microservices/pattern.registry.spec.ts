import { describe, expect, it } from '@jest/globals';
import type { MessageHandler } from '@nestjs/microservices';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { fixed } from '../../../lib/core/retry-policy.js';
import { PatternRegistry } from '../../../lib/microservices/pattern.registry.js';

const NAMES = { service: 'shop', exchange: 'events' };
const handler: MessageHandler = async () => undefined;

type Added = readonly [pattern: string, isEvent: boolean, extras?: Readonly<Record<string, unknown>>];

function registrations(...all: readonly Added[]) {
  const registry = new PatternRegistry();
  for (const [pattern, isEvent, extras = {}] of all) registry.add(pattern, handler, isEvent, extras);
  return registry.registrations(NAMES, ({ callbacks }) => ({ invoke: () => callbacks.length }));
}

function problems(...all: readonly Added[]): readonly string[] {
  try {
    registrations(...all);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

describe('the handlers of microservices', () => {
  it.each([
    ['orders.created', 'shop.orders.created'],
    ['orders.*', 'shop.orders.any'],
    ['orders.#', 'shop.orders.all'],
    ['{"cmd":"sum"}', 'shop.-cmd-:-sum-'],
  ])('an event %s has the group %s', (pattern, group) => {
    expect(registrations([pattern, true])).toMatchObject([{ group, rules: [{ pattern }], delivery: 'shared' }]);
  });

  it('a message has the queue of its command, to which no exchange leads', () => {
    expect(registrations(['orders.place', false])).toMatchObject([{ group: 'events.command.orders.place', rules: [] }]);
  });

  it('an event and a message of one name do not meet', () => {
    expect(registrations(['orders', true], ['orders', false]).map(({ group }) => group)).toEqual([
      'shop.orders',
      'events.command.orders',
    ]);
  });

  it('extras are options of the group; those of others are left alone', () => {
    const retry = fixed({ attempts: 2, delayMs: 10 });
    const extras = { group: 'billing', retry, concurrency: 2, renamedFrom: 'shop.old', idempotent: true, qos: 1 };
    expect(registrations(['orders.*', true, extras])).toMatchObject([
      {
        group: 'billing',
        policy: { retry, concurrency: 2 },
        renamedFrom: ['shop.old'],
        idempotent: { windowMs: 3_600_000 },
      },
    ]);
  });

  it('several patterns of one method are one group if it has a name, else one each', () => {
    const extras = { group: 'g' };
    expect(registrations(['a.*', true, extras], ['*.b', true, extras], ['a.*', true, extras])).toMatchObject([
      { group: 'g', rules: [{ pattern: 'a.*' }, { pattern: '*.b' }], place: "@EventPattern('a.*', '*.b')" },
    ]);
    const unnamed = {};
    const groups = registrations(['a', true, unnamed], ['b', true, unnamed]).map(({ group }) => group);
    expect(groups).toEqual(['shop.a', 'shop.b']);
  });

  it('several methods of one pattern share a group, unless one has its own', () => {
    const found = registrations(['a', true], ['a', true], ['a', true, { group: 'own' }]);
    expect(found.map((one) => [one.group, one.invoke(0, undefined as never)])).toEqual([
      ['shop.a', 2],
      ['own', 1],
    ]);
  });

  it.each<[string, readonly Added[], string]>([
    [
      'a message twice',
      [
        ['a', false],
        ['a', false],
      ],
      'is there twice',
    ],
    [
      'an event twice with other extras',
      [
        ['a', true],
        ['a', true, { concurrency: 1 }],
      ],
      'different extras',
    ],
    [
      'two patterns of one group',
      [
        ['a', true, { group: 'g' }],
        ['b', true, { group: 'g' }],
      ],
      'the same group "g"',
    ],
    [
      'two patterns that read alike',
      [
        ['a.*', true],
        ['a.any', true],
      ],
      'the same group "shop.a.any"',
    ],
    ['a wildcard in a message', [['a.*', false]], 'has the wildcard "*"'],
    ['a typing error', [['a', true, { concurency: 1 }]], 'Did you mean "concurrency"?'],
    ['a wrong type', [['a', true, { timeoutMs: 'long' }]], 'timeoutMs must be a whole number'],
    ['a group for a message', [['a', false, { group: 'g' }]], 'group is for events'],
    ['a group for a broadcast', [['a', true, { group: 'g', delivery: 'broadcast' }]], 'exclude each other'],
  ])('%s is told at start', (_, added, text) => {
    expect(problems(...added)).toEqual([expect.stringContaining(text)]);
  });
});
