import { describe, expect, it } from '@jest/globals';
import { DeadLetterService } from '../../../lib/bus/dead-letter.service.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import type { DeadLetterRecord, DeadLetters } from '../../../lib/core/transport.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { aMessage } from '../support/message.js';

function setUp(...records: DeadLetterRecord[]) {
  const calls: unknown[][] = [];
  const store: DeadLetters = {
    list: async (...args) => {
      calls.push(['list', ...args]);
      return records;
    },
    count: async (...args) => calls.push(['count', ...args]) + 10,
    replay: async (...args) => calls.push(['replay', ...args]) + 20,
    purge: async (...args) => calls.push(['purge', ...args]) + 30,
  };
  const service = new DeadLetterService(store, new JsonSerializer(), (group) => `dev.${group}`);
  return { service, calls };
}

describe('DeadLetterService', () => {
  it('lists what is known of each dead letter, under the name that the user knows', async () => {
    const message = aMessage({ headers: { region: 'eu' } });
    const failure = { name: 'RangeError', message: 'no stock' };
    const { service, calls } = setUp(
      { message, reason: 'forbidden', attempts: 3, failure, firstFailedAt: 0, lastFailedAt: 9 },
      { message: aMessage({ id: 'm-2', body: Buffer.from('{') }), reason: 'undecodable', attempts: 1 },
    );
    expect(await service.list('mail')).toStrictEqual([
      {
        id: 'm-1',
        topic: 'orders.created',
        group: 'mail',
        body: message.body,
        headers: { region: 'eu' },
        reason: 'forbidden',
        attempts: 3,
        payload: { n: 1 },
        error: failure,
        firstFailedAt: 0,
        lastFailedAt: 9,
      },
      {
        id: 'm-2',
        topic: 'orders.created',
        group: 'mail',
        body: Buffer.from('{'),
        headers: NO_HEADERS,
        reason: 'undecodable',
        attempts: 1,
      },
    ]);
    expect(calls).toEqual([['list', 'dev.mail', 100]]);
  });

  it('asks the transport for the group as declared', async () => {
    const { service, calls } = setUp();
    await service.list('a', { limit: 7 });
    const results = [await service.count('a'), await service.replay('a'), await service.purge('a')];
    await service.replay('a', { ids: ['m-1'], limit: 10_000 });
    expect(calls).toEqual([
      ['list', 'dev.a', 7],
      ['count', 'dev.a'],
      ['replay', 'dev.a', {}],
      ['purge', 'dev.a'],
      ['replay', 'dev.a', { ids: ['m-1'], limit: 10_000 }],
    ]);
    expect(results).toEqual([12, 23, 34]);
  });

  it.each([0, 10_001, 1.5, '5'])('refuses the limit %j', async (limit) => {
    const { service, calls } = setUp();
    for (const act of [
      service.list('a', { limit: limit as number }),
      service.replay('a', { limit: limit as number }),
    ]) {
      await expect(act).rejects.toMatchObject({
        constructor: ConfigurationError,
        problems: [expect.stringContaining('limit')],
      });
    }
    expect(calls).toEqual([]);
  });

  it.each(['', undefined, 7])('refuses the group %j: it would purge who knows what', async (group) => {
    const { service, calls } = setUp();
    const name = group as string;
    for (const act of [service.list(name), service.count(name), service.replay(name), service.purge(name)]) {
      await expect(act).rejects.toBeInstanceOf(ConfigurationError);
    }
    expect(calls).toEqual([]);
  });
});
