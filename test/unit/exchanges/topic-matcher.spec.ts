import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareSpecificity } from '../../../lib/core/exchange.js';
import { patternsOverlap, topicMatches, topicSpecificity } from '../../../lib/exchanges/topic-matcher.js';
import { allOf, matchesByTheBook, TOPIC_TABLE } from '../support/topics.js';

const word = fc.constantFrom('a', 'b', 'c', '', '*', '#', 'ab', 'a*');
const pattern = fc
  .array(
    fc.oneof({ weight: 2, arbitrary: fc.constantFrom('a', 'b') }, fc.constantFrom('*', '#'), fc.constantFrom('', 'a#')),
    { maxLength: 7 },
  )
  .map((words) => words.join('.'));
const topic = fc
  .array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b') }, word), { maxLength: 8 })
  .map((words) => words.join('.'));

/** A pattern and a topic made from it, so that most pairs match. */
const fittingPair = fc
  .array(
    fc.oneof(
      fc.constantFrom('a', 'b', 'c').map((w) => [w, [w]] as const),
      fc.constantFrom('x', 'y', '*', '#').map((w) => ['*', [w]] as const),
      fc.array(fc.constantFrom('a', 'x', 'y'), { maxLength: 3 }).map((ws) => ['#', ws] as const),
    ),
    { maxLength: 6 },
  )
  .map((parts) => ({
    pattern: parts.map(([asked]) => asked).join('.'),
    topic: parts.flatMap(([, given]) => given).join('.'),
  }));

describe('topicMatches', () => {
  it.each(TOPIC_TABLE)('pattern "%s", topic "%s": %s', (asked, given, expected) => {
    expect(topicMatches(asked, given)).toBe(expected);
  });

  it('has a table that the reference implementation below agrees with', () => {
    expect(TOPIC_TABLE.length).toBeGreaterThanOrEqual(40);
    expect(TOPIC_TABLE.filter(([asked, given, expected]) => matchesByTheBook(asked, given) !== expected)).toEqual([]);
  });

  it('equals a naive recursion for random patterns and topics', () => {
    fc.assert(
      fc.property(pattern, topic, (asked, given) => {
        expect(topicMatches(asked, given)).toBe(matchesByTheBook(asked, given));
      }),
      { numRuns: 2_000 },
    );
  });

  it('equals a naive recursion for all short patterns and topics', () => {
    const topics = allOf(['a', 'b', ''], 4);
    const wrong: string[] = [];
    for (const asked of allOf(['a', '*', '#', ''], 3)) {
      for (const given of topics) {
        if (topicMatches(asked, given) !== matchesByTheBook(asked, given)) wrong.push(`${asked} | ${given}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('matches every topic that is made by filling in the wildcards', () => {
    fc.assert(
      fc.property(fittingPair, ({ pattern: asked, topic: given }) => {
        expect(topicMatches(asked, given)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('lets every topic match itself as a pattern, and # match everything', () => {
    fc.assert(
      fc.property(fc.string(), (any) => {
        expect(topicMatches(any, any)).toBe(true);
        expect(topicMatches('#', any)).toBe(true);
      }),
    );
  });

  it.each([
    ['nothing in between', `${'#.'.repeat(20)}x`],
    ['a word in between', `${'#.a.'.repeat(20)}x`],
    ['a star in between', `${'#.*.'.repeat(20)}x`],
  ])('takes at most 1 ms for 20 "#" against 127 words: %s', (_, hostile) => {
    const given = Array.from({ length: 127 }, () => 'a').join('.');
    topicMatches(hostile, given);
    const times = Array.from({ length: 5 }, () => {
      const begin = performance.now();
      expect(topicMatches(hostile, given)).toBe(false);
      return performance.now() - begin;
    });
    expect(Math.min(...times)).toBeLessThanOrEqual(1);
    expect(topicMatches(hostile, `${given}.x`)).toBe(true);
  });
});

describe('patternsOverlap', () => {
  it.each([
    ['orders.created', 'orders.created', true],
    ['orders.created', 'orders.deleted', false],
    ['orders.*', 'orders.created', true],
    ['orders.*', '*.created', true],
    ['orders.*', 'users.*', false],
    ['orders.*', 'orders', false],
    ['orders.#', 'orders', true],
    ['orders.#', '#.created', true],
    ['orders.#', 'users.#', false],
    ['*', '*.*', false],
    ['#', 'a.b.c', true],
    ['#', '', true],
    ['', '*', false],
    ['*.#', '', false],
    ['#.#', '', true],
    ['a.#.z', 'a.*.b.#', true],
    ['a.#.z', '*.b', false],
    ['#.a', 'b.#', true],
    ['#.a.b', '*.*', true],
    ['a.b.#', '#.c.d', true],
    ['a.b.#.x', 'a.c.#.x', false],
  ] as const)('"%s" and "%s": %s', (a, b, expected) => {
    expect(patternsOverlap(a, b)).toBe(expected);
    expect(patternsOverlap(b, a)).toBe(expected);
  });

  it('is true whenever a random topic matches both', () => {
    // few letters and many wildcards, so that a good part of the pairs meets
    const wide = fc.array(fc.constantFrom('a', '', '*', '*', '#', '#'), { maxLength: 5 }).map((ws) => ws.join('.'));
    const given = fc.array(fc.constantFrom('a', 'a', '', 'b'), { maxLength: 5 }).map((ws) => ws.join('.'));
    let hits = 0;
    fc.assert(
      fc.property(wide, wide, given, (a, b, each) => {
        if (!topicMatches(a, each) || !topicMatches(b, each)) return;
        hits++;
        expect(patternsOverlap(a, b)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
    expect(hits).toBeGreaterThan(100);
  });

  it('is true for any two patterns of which one is made from the topic that both match', () => {
    fc.assert(
      fc.property(fittingPair, fc.nat(), ({ pattern: a, topic: given }, seed) => {
        const b = given
          .split('.')
          .map((w, index) => (w === '' ? w : ([w, '*', '#'][(seed >> (index * 2)) % 3] ?? w)))
          .join('.');
        expect(topicMatches(b, given)).toBe(true);
        expect(patternsOverlap(a, b)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  // two patterns of up to 3 words that overlap at all share a topic of up to 6 words
  it('agrees with brute force over all short patterns', () => {
    const topics = allOf(['a', 'b'], 6);
    const all = allOf(['a', 'b', '*', '#'], 3).map((each) => ({
      each,
      matched: topics.map((given) => matchesByTheBook(each, given)),
    }));
    const wrong: string[] = [];
    for (const a of all) {
      for (const b of all) {
        const expected = a.matched.some((yes, index) => yes && b.matched[index]);
        if (patternsOverlap(a.each, b.each) !== expected) wrong.push(`${a.each} | ${b.each}`);
      }
    }
    expect(all).toHaveLength(85);
    expect(wrong).toEqual([]);
  });

  it('is symmetric, and every pattern overlaps itself and "#"', () => {
    fc.assert(
      fc.property(pattern, pattern, (a, b) => {
        expect(patternsOverlap(a, b)).toBe(patternsOverlap(b, a));
        expect(patternsOverlap(a, a)).toBe(true);
        expect(patternsOverlap(a, '#')).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('takes at most 5 ms for the largest patterns', () => {
    const a = `${'#.a.'.repeat(63)}x`;
    const b = `${'#.*.'.repeat(63)}y`;
    patternsOverlap(a, b);
    const times = Array.from({ length: 5 }, () => {
      const begin = performance.now();
      expect(patternsOverlap(a, b)).toBe(false);
      return performance.now() - begin;
    });
    expect(Math.min(...times)).toBeLessThanOrEqual(5);
  });
});

describe('topicSpecificity', () => {
  const compare = (a: string, b: string): number => compareSpecificity(topicSpecificity(a), topicSpecificity(b));

  it.each([
    ['orders.created.eu', 'orders.created.*'],
    ['orders.created.eu', 'orders.*.eu'],
    ['orders.created', 'orders.*'],
    ['orders.created', 'orders.#'],
    ['orders.*', 'orders.#'],
    ['orders.*.eu', 'orders.#.eu'],
    ['orders.created.#', 'orders.#'],
    ['orders.created.#', 'orders.*'],
    ['orders.#', '*.#'],
    ['orders.*', '*.*'],
    ['*', '#'],
    ['*.*', '#'],
    ['a.#', '#.a.#'],
    ['', '#'],
  ])('"%s" is more specific than "%s"', (more, less) => {
    expect(compare(more, less)).toBeGreaterThan(0);
    expect(compare(less, more)).toBeLessThan(0);
  });

  it.each([
    ['orders.*', '*.created'],
    ['orders.#', '#.created'],
    ['orders.created', 'orders.deleted'],
    ['#', '#'],
    ['a*.b', 'a.b'],
  ])('"%s" and "%s" have equal right', (a, b) => {
    expect(compare(a, b)).toBe(0);
  });

  it.each([
    ['orders.*.#', 'orders.#'],
    ['*.#', '#'],
    ['#.*.eu', '#.eu'],
    ['orders.*.*.#', 'orders.*.#'],
  ])('"%s" beats "%s", of which it matches only a part', (narrow, wide) => {
    expect(compare(narrow, wide)).toBeGreaterThan(0);
  });

  // else a handler could be bound and never get anything: the wider pattern would take each of its deliveries
  it('never ranks a pattern above or beside one that matches strictly less', () => {
    const topics = allOf(['a', 'b', 'c'], 5);
    const all = allOf(['a', 'b', '*', '#'], 3).map((each) => ({
      each,
      matched: topics.map((given) => matchesByTheBook(each, given)),
    }));
    const wrong: string[] = [];
    for (const narrow of all) {
      for (const wide of all) {
        const inside = narrow.matched.every((yes, index) => !yes || wide.matched[index]);
        const strictly = inside && wide.matched.some((yes, index) => yes && !narrow.matched[index]);
        if (strictly && compare(narrow.each, wide.each) <= 0) wrong.push(`${narrow.each} inside ${wide.each}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('is an order: antisymmetric and transitive', () => {
    fc.assert(
      fc.property(pattern, pattern, pattern, (a, b, c) => {
        expect(Math.sign(compare(a, b))).toBe(0 - Math.sign(compare(b, a)));
        const transitive = compare(a, b) < 0 || compare(b, c) < 0 || compare(a, c) >= 0;
        expect(transitive).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
