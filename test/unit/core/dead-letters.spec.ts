import { describe, expect, it } from '@jest/globals';
import {
  chooseLetters,
  type DeadLetterEntry,
  noQueueToReplayTo,
  oldestFirst,
  toReplayed,
} from '../../../lib/core/dead-letters.js';
import { aMessage } from '../support/message.js';

const entries = (...times: readonly (number | undefined)[]): readonly DeadLetterEntry[] =>
  times.map((lastFailedAt, place) => ({ id: `m-${place}`, lastFailedAt }));

describe('oldestFirst', () => {
  it.each<[string, readonly (number | undefined)[], readonly number[]]>([
    ['none', [], []],
    ['what is in order stays', [1, 2, 3], [0, 1, 2]],
    ['what a reader that died has put behind comes first', [5, 6, 1, 2], [2, 3, 0, 1]],
    ['those of one moment stay as they came', [2, 1, 2, 1], [1, 3, 0, 2]],
    ['one without a time stays behind the one before it', [5, undefined, 1, undefined, 9], [2, 3, 0, 1, 4]],
    ['the first without a time comes first', [undefined, 1], [0, 1]],
  ])('%s', (_, times, order) => {
    expect(oldestFirst(entries(...times))).toEqual(order);
  });
});

describe('chooseLetters', () => {
  const letters = entries(3, 1, 2);

  it.each<[string, Parameters<typeof chooseLetters>[1], readonly number[]]>([
    ['all', {}, [1, 2, 0]],
    ['the oldest', { limit: 2 }, [1, 2]],
    ['those with the ids', { ids: ['m-0', 'm-2', 'unknown'] }, [2, 0]],
    ['the oldest of those', { ids: ['m-0', 'm-2'], limit: 1 }, [2]],
    ['none', { ids: [] }, []],
  ])('%s', (_, query, places) => {
    expect(chooseLetters(letters, query)).toEqual(places);
  });

  it('means all that share an id', () => {
    expect(chooseLetters([...letters, ...letters], { ids: ['m-1'] })).toEqual([1, 4]);
  });
});

describe('toReplayed', () => {
  it('leaves an expiry out that has passed, and nothing else', () => {
    const message = aMessage({ expiresAt: Date.now() - 1, key: 'k', dueAt: 7 });
    const { expiresAt: _, ...rest } = message;
    expect(toReplayed(message)).toStrictEqual(rest);
  });

  it.each([undefined, Date.now() + 60_000])('keeps a message that expires at %s as it is', (expiresAt) => {
    const message = aMessage(expiresAt === undefined ? {} : { expiresAt });
    expect(toReplayed(message)).toBe(message);
  });
});

it('a group without a queue: the error says what to do, also for private handlers', () => {
  expect(noQueueToReplayTo('shop.broadcast')).toMatchObject({
    name: 'ConfigurationError',
    message: expect.stringMatching(/"shop\.broadcast".*Start its consumer.*private handlers.*publish anew/s),
  });
});
