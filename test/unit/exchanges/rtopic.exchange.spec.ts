import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NO_HEADERS } from '../../../lib/core/headers.js';
import { RTopicExchange } from '../../../lib/exchanges/rtopic.exchange.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { RTOPIC_TABLE } from '../support/rtopic.js';
import { allOf, matchesByTheBook } from '../support/topics.js';

const message = (topic: string) => ({ topic, headers: NO_HEADERS });

/** Written without a look at the library: whether the words that are left of the publisher's pattern reach those of the key. */
function reachesByTheBook(published: readonly string[], key: readonly string[]): boolean {
  if (published.length === 0) return key.length === 0;
  const [word, ...rest] = published;
  if (word === '#') return Array.from({ length: key.length + 1 }).some((_, n) => reachesByTheBook(rest, key.slice(n)));
  return key.length > 0 && (word === '*' || word === key[0]) && reachesByTheBook(rest, key.slice(1));
}

const split = (text: string): string[] => (text === '' ? [] : text.split('.'));

describe('RTopicExchange', () => {
  const exchange = new RTopicExchange();
  const reaches = (published: string, pattern: string): boolean => exchange.matches({ pattern }, message(published));

  it('has the type that RabbitMQ declares, and needs no headers', () => {
    expect(exchange.type).toBe('x-rtopic');
    expect(exchange.usesHeaders).toBe(false);
  });

  it.each(RTOPIC_TABLE)('published "%s", key "%s": %s', (published, key, expected) => {
    expect(reaches(published, key)).toBe(expected);
    expect(reachesByTheBook(split(published), split(key))).toBe(expected);
  });

  it('takes a rule without pattern for the empty key', () => {
    expect(exchange.matches({}, message(''))).toBe(true);
    expect(exchange.matches({}, message('#'))).toBe(true);
    expect(exchange.matches({}, message('a'))).toBe(false);
  });

  it('equals a naive recursion for 100,000 and more pairs, of which both answers occur often', () => {
    const published = allOf(['a', 'b', '*', '#', ''], 4);
    const keys = allOf(['a', 'b', '', '*'], 4);
    const wrong: string[] = [];
    let hits = 0;
    for (const one of published) {
      for (const key of keys) {
        const expected = reachesByTheBook(split(one), split(key));
        if (expected) hits++;
        if (reaches(one, key) !== expected) wrong.push(`${one} | ${key}`);
      }
    }
    const pairs = published.length * keys.length;
    expect(wrong).toEqual([]);
    expect(pairs).toBeGreaterThanOrEqual(100_000);
    expect(hits).toBeGreaterThan(pairs / 20);
    expect(hits).toBeLessThan(pairs / 2);
  });

  it('is the topic rule with the roles reversed', () => {
    const word = fc.constantFrom('a', 'b', 'ab', '*', '#', '');
    const text = fc.array(word, { maxLength: 6 }).map((words) => words.join('.'));
    const topic = new TopicExchange();
    fc.assert(
      fc.property(text, text, (published, key) => {
        expect(reaches(published, key)).toBe(topic.matches({ pattern: published }, message(key)));
        expect(reaches(published, key)).toBe(matchesByTheBook(published, key));
      }),
      { numRuns: 2_000 },
    );
  });

  it('lets any two keys meet, with equal right: "#" reaches both', () => {
    expect(exchange.overlap()).toBe(true);
    expect(exchange.specificity()).toEqual([0]);
    for (const key of ['', 'a', 'b.c', '*']) expect(reaches('#', key)).toBe(true);
  });
});
