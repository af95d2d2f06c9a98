import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  editDistance,
  globMatches,
  isWellFormed,
  nearest,
  onOneLine,
  toWellFormed,
  truncateBytes,
  wildcardMatches,
} from '../../../lib/core/text.js';

const MARKER = '…';
/** Letters of 1, 2, 3 and 4 bytes. */
const wide = fc.string({ unit: fc.constantFrom('a', 'Z', 'é', '€', '…', '😀', '𝒳'), maxLength: 60 });

describe('isWellFormed and toWellFormed', () => {
  it('tell whether a text arrives as it was sent, and what arrives', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '\ud83d', '\ude00', '€'), maxLength: 20 }), (text) => {
        const arrives = Buffer.from(text).toString();
        expect(toWellFormed(text)).toBe(arrives);
        expect(isWellFormed(text)).toBe(arrives === text);
      }),
    );
  });
});

describe('truncateBytes', () => {
  it.each([
    ['', 10, ''],
    ['abc', 10, 'abc'],
    ['abcdefghij', 10, 'abcdefghij'],
    ['abcdefghijk', 10, 'abcdefg…'],
    ['ééééé', 10, 'ééééé'],
    ['éééééé', 10, 'ééé…'],
    ['aéééééé', 10, 'aééé…'],
    ['€€€€', 10, '€€…'],
    ['😀😀', 8, '😀😀'],
    ['😀😀😀', 8, '😀…'],
    ['😀😀😀', 6, '…'],
    ['abcd', 3, '…'],
  ])('"%s" to %d bytes: "%s"', (text, limit, expected) => {
    expect(truncateBytes(text, limit)).toBe(expected);
  });

  it('never has more bytes than the limit', () => {
    fc.assert(
      fc.property(wide, fc.integer({ min: 3, max: 120 }), (text, limit) => {
        expect(Buffer.byteLength(truncateBytes(text, limit))).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 500 },
    );
  });

  it.each([0, 1, 2])('never has more bytes than the limit, %d included', (limit) => {
    expect(Buffer.byteLength(truncateBytes('abcdef', limit))).toBeLessThanOrEqual(limit);
  });

  it('never splits a character: the rest is a beginning of the text', () => {
    fc.assert(
      fc.property(wide, fc.integer({ min: 3, max: 120 }), (text, limit) => {
        const cut = truncateBytes(text, limit);
        const fits = Buffer.byteLength(text) <= limit;
        expect(cut === text).toBe(fits);
        const kept = fits ? cut : cut.slice(0, -MARKER.length);
        expect(cut).toBe(fits ? text : kept + MARKER);
        expect(text.startsWith(kept)).toBe(true);
        expect(cut).not.toContain('\uFFFD');
        expect(Buffer.from(cut).toString()).toBe(cut);
      }),
      { numRuns: 500 },
    );
  });

  it('cuts off no more than it must', () => {
    fc.assert(
      fc.property(wide, fc.integer({ min: 3, max: 120 }), (text, limit) => {
        const cut = truncateBytes(text, limit);
        if (cut === text) return;
        const [next = ''] = text.slice(cut.length - MARKER.length);
        expect(next).not.toBe('');
        expect(Buffer.byteLength(cut) + Buffer.byteLength(next)).toBeGreaterThan(limit);
      }),
      { numRuns: 500 },
    );
  });

  it('changes nothing a second time', () => {
    fc.assert(
      fc.property(wide, fc.integer({ min: 3, max: 120 }), (text, limit) => {
        const once = truncateBytes(text, limit);
        expect(truncateBytes(once, limit)).toBe(once);
      }),
    );
  });

  it('copes with halves of surrogate pairs', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '\ud83d', '\ude00', '€'), maxLength: 60 }),
        fc.integer({ min: 3, max: 90 }),
        (text, limit) => {
          expect(Buffer.byteLength(truncateBytes(text, limit))).toBeLessThanOrEqual(limit);
        },
      ),
    );
    expect(truncateBytes('\ud800'.repeat(10), 10)).toBe('\uFFFD\uFFFD…');
  });
});

describe('onOneLine', () => {
  it('shows what would begin a line or command a terminal, and leaves the rest', () => {
    expect(onOneLine('Grüße "a.b" 🚚')).toBe('Grüße "a.b" 🚚');
    expect(onOneLine('a\nb\r\tc\u001b[31m\u0085\u2028\u0000')).toBe(
      'a\\nb\\u000d\\u0009c\\u001b[31m\\u0085\\u2028\\u0000',
    );
  });
});

describe('editDistance', () => {
  it.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['abc', 'abc', 0],
    ['abc', 'abd', 1],
    ['abc', 'ab', 1],
    ['abc', 'xabc', 1],
    ['ab', 'ba', 2],
    ['kitten', 'sitting', 3],
    ['publish', 'publsh', 1],
  ])('from "%s" to "%s": %d', (a, b, expected) => {
    expect(editDistance(a, b)).toBe(expected);
  });

  it('equals a naive recursion', () => {
    const naive = (a: string, b: string): number => {
      if (a === '' || b === '') return a.length + b.length;
      if (a[0] === b[0]) return naive(a.slice(1), b.slice(1));
      return 1 + Math.min(naive(a.slice(1), b), naive(a, b.slice(1)), naive(a.slice(1), b.slice(1)));
    };
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(editDistance(a, b)).toBe(naive(a, b));
      }),
      { numRuns: 300 },
    );
  });

  it('is a distance: symmetric, and no way around is shorter', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
  });
});

describe('nearest', () => {
  const options = ['concurrency', 'prefetch', 'timeoutMs', 'retry', 'enabled'];

  it.each([
    ['concurency', 'concurrency'],
    ['preFetch', 'prefetch'],
    ['timeout', 'timeoutMs'],
    ['timeout_ms', 'timeoutMs'],
    ['retries', 'retry'],
    ['enable', 'enabled'],
    ['Enabled', 'enabled'],
  ])('guesses for %s: %s', (name, expected) => {
    expect(nearest(name, options)).toBe(expected);
  });

  it.each(['', 'colour', 'zzzzzzzzzzzz', 'q'])('has no guess for "%s"', (name) => {
    expect(nearest(name, options)).toBeUndefined();
  });

  it('takes no notice of case', () => {
    expect(nearest('CONCURRENCY', options)).toBe('concurrency');
    expect(nearest('ab', ['ABCD'])).toBe('ABCD');
  });

  it('lets up to half of the name be wrong, and two letters of a short one', () => {
    expect(nearest('abc', ['axy'])).toBe('axy');
    expect(nearest('abc', ['xyz'])).toBeUndefined();
    expect(nearest('abcdefgh', ['abcdwxyz'])).toBe('abcdwxyz');
    expect(nearest('abcdefgh', ['abcvwxyz'])).toBeUndefined();
  });

  it('prefers the nearest, and the first of equals', () => {
    expect(nearest('abcd', ['abxx', 'abcx', 'abcy'])).toBe('abcx');
    expect(nearest('x', [])).toBeUndefined();
  });
});

describe('globMatches', () => {
  it.each([
    ['orders', 'orders', true],
    ['orders', 'orders2', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['*', 'a.b.c', true],
    ['orders.*', 'orders.created', true],
    ['orders.*', 'orders.created.eu', true],
    ['orders.*', 'orders.', true],
    ['orders.*', 'orders', false],
    ['*.created', 'orders.created', true],
    ['*.created', 'created', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'a.b.c', true],
    ['a*b*c', 'acb', false],
    ['a*b*c', 'abbc', true],
    ['*ab*ab*', 'ab', false],
    ['*ab*ab*', 'abab', true],
    ['ab*ba', 'aba', false],
    ['a**b', 'ab', true],
    ['**', '', true],
    ['a.c', 'abc', false],
    ['a?c', 'abc', false],
    ['[a]*', 'a', false],
    ['Orders', 'orders', false],
    ['a*', 'a*', true],
  ])('"%s", "%s": %s', (glob, text, expected) => {
    expect(globMatches(glob, text)).toBe(expected);
  });

  it('equals a naive recursion', () => {
    const naive = (glob: string, text: string): boolean => {
      if (glob === '') return text === '';
      if (glob[0] === '*') return naive(glob.slice(1), text) || (text !== '' && naive(glob, text.slice(1)));
      return glob[0] === text[0] && naive(glob.slice(1), text.slice(1));
    };
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', '*', '.'), maxLength: 7 }),
        fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 }),
        (glob, text) => {
          expect(globMatches(glob, text)).toBe(naive(glob, text));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('matches every text that is made by filling in the stars', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, piece), { maxLength: 5 }), piece, (parts, last) => {
        const glob = parts.map(([literal]) => `${literal}*`).join('') + last;
        const text = parts.map(([literal, filling]) => literal + filling).join('') + last;
        expect(globMatches(glob, text)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('is linear: a hostile glob takes at most 5 ms', () => {
    const glob = `${'*a'.repeat(100)}*b`;
    const text = 'a'.repeat(2_000);
    globMatches(glob, text);
    const times = Array.from({ length: 5 }, () => {
      const begin = performance.now();
      expect(globMatches(glob, text)).toBe(false);
      return performance.now() - begin;
    });
    expect(Math.min(...times)).toBeLessThanOrEqual(5);
  });
});

/** As one would write it: tries everything. */
function oracle([first, ...glob]: readonly string[], text: readonly string[]): boolean {
  if (first === undefined) return text.length === 0;
  if (first === '*') return oracle(glob, text) || (text.length > 0 && oracle([first, ...glob], text.slice(1)));
  return text.length > 0 && (first === '?' || first === text[0]) && oracle(glob, text.slice(1));
}

describe('wildcardMatches', () => {
  it.each([
    ['worker', 'worker', true],
    ['worker', 'Worker', false],
    ['worker.*', 'worker.images.large', true],
    ['worker.?', 'worker.1', true],
    ['worker.?', 'worker.', false],
    ['worker.?', 'worker.12', false],
    ['?', '😀', true],
    ['??', '😀', false],
    ['a?c', 'a.c', true],
    ['*?', '', false],
    ['[ab]', 'a', false],
    ['', '', true],
    ['*', '', true],
  ])('"%s" and "%s": %s', (glob, text, expected) => {
    expect(wildcardMatches(glob, text)).toBe(expected);
  });

  it('finds what trying everything finds', () => {
    const unit = fc.constantFrom('a', 'b', '.', '😀');
    const glob = fc.array(fc.oneof(unit, fc.constantFrom('*', '?')), { maxLength: 8 });
    fc.assert(
      fc.property(glob, fc.array(unit, { maxLength: 8 }), (pattern, text) => {
        expect(wildcardMatches(pattern.join(''), text.join(''))).toBe(oracle(pattern, text));
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes no time for what looks bad', () => {
    const began = performance.now();
    expect(wildcardMatches(`${'*a'.repeat(64)}b`, 'a'.repeat(128))).toBe(false);
    expect(performance.now() - began).toBeLessThan(100);
  });
});
