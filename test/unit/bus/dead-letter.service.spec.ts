import { describe, expect, it } from '@jest/globals';
import { DeadLetterService } from '../../../lib/bus/dead-letter.service.js';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import type { Message } from '../../../lib/core/message.js';
import type { DeadLetterRecord, DeadLetters } from '../../../lib/core/transport.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { aMessage } from '../support/message.js';

function setUp(...records: DeadLetterRecord[]) {
  const calls: unknown[][] = [];
  const store: { -readonly [K in keyof DeadLetters]: DeadLetters[K] } = {
    list: async (...args) => {
      calls.push(['list', ...args]);
      return records;
    },
    count: async (...args) => calls.push(['count', ...args]) + 10,
    replay: async (...args) => calls.push(['replay', ...args]) + 20,
    purge: async (...args) => calls.push(['purge', ...args]) + 30,
  };
  const service = new DeadLetterService(
    store,
    new MessageDecoder([new JsonSerializer()], 20),
    (group) => `dev.${group}`,
  );
  return { service, calls, store };
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
        error: { name: 'DeadLetter', message: 'No error is known; the reason is "undecodable".' },
      },
    ]);
    expect(calls).toEqual([['list', 'dev.mail', 100, 0]]);
  });

  it.each<[string, Partial<Message>]>([
    ['is too large for a handler', { body: Buffer.from('1'.repeat(21)) }],
    ['is of a type that this bus does not decode', { contentType: 'text/plain' }],
    ['cannot be decoded', { body: Buffer.from('{') }],
  ])('gives no payload of a body that %s', async (_, fields) => {
    const { service } = setUp({ message: aMessage(fields), reason: 'x', attempts: 1 });
    expect((await service.list('mail'))[0]).not.toHaveProperty('payload');
  });

  it.each(['', 'application/json', 'Application/JSON; charset=utf-8'])('decodes a body of type "%s"', async (type) => {
    const { service } = setUp({ message: aMessage({ contentType: type }), reason: 'x', attempts: 1 });
    expect(await service.list('mail')).toMatchObject([{ payload: { n: 1 } }]);
  });

  it('asks the transport for the group as declared', async () => {
    const { service, calls } = setUp();
    await service.list('a', { limit: 7, offset: 3 });
    const results = [await service.count('a'), await service.replay('a'), await service.purge('a')];
    await service.replay('a', { ids: ['m-1'], limit: 10_000 });
    const signal = expect.any(AbortSignal);
    expect(calls).toEqual([
      ['list', 'dev.a', 7, 3],
      ['count', 'dev.a'],
      ['replay', 'dev.a', { signal }],
      ['purge', 'dev.a'],
      ['replay', 'dev.a', { ids: ['m-1'], limit: 10_000, signal }],
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

  it.each([-1, 0.5, '5'])('refuses the offset %j', async (offset) => {
    const { service, calls } = setUp();
    await expect(service.list('a', { offset: offset as number })).rejects.toBeInstanceOf(ConfigurationError);
    expect(calls).toEqual([]);
  });

  it.each<[string, object]>([
    ['no ids', { ids: [] }],
    ['an id that is none', { ids: [''] }],
    ['a single id', { ids: 'm-1' }],
    ['too many ids', { ids: Array.from({ length: 10_001 }, () => 'm') }],
    ['an option that there is not', { id: 'm-1' }],
    ['a progress that nobody can be told', { onProgress: true }],
  ])('refuses a replay with %s, which could be one of all', async (_, options) => {
    const { service, calls } = setUp();
    await expect(service.replay('a', options)).rejects.toBeInstanceOf(ConfigurationError);
    expect(calls).toEqual([]);
  });

  describe('a replay', () => {
    /** Replays `total` letters, one per turn, as long as it may. */
    function replaying(total: number) {
      const { service, store } = setUp();
      store.replay = async (_, { onProgress, signal }) => {
        let replayed = 0;
        while (replayed < total && !signal?.aborted) {
          onProgress?.(++replayed, total);
          await Promise.resolve();
        }
        return replayed;
      };
      return service;
    }

    it('tells its progress', async () => {
      const told: number[][] = [];
      expect(await replaying(2).replay('a', { onProgress: (...args) => void told.push(args) })).toBe(2);
      expect(told).toEqual([
        [1, 2],
        [2, 2],
      ]);
    });

    it('ends at the signal of its caller', async () => {
      const stop = new AbortController();
      const onProgress = (done: number): void => {
        if (done === 3) stop.abort();
      };
      expect(await replaying(10).replay('a', { onProgress, signal: stop.signal })).toBe(3);
    });

    it('ends with what the listener to its progress throws', async () => {
      const told: number[] = [];
      const onProgress = (done: number): void => {
        told.push(done);
        throw new RangeError('no');
      };
      await expect(replaying(10).replay('a', { onProgress })).rejects.toEqual(new RangeError('no'));
      expect(told).toEqual([1]);
    });
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
