import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { DEFAULT_RETRY, exponential, fixed, NO_RETRY } from '../../../lib/core/retry-policy.js';
import { caught } from '../support/caught.js';

describe('DEFAULT_RETRY and NO_RETRY', () => {
  it('waits 1 s, 5 s, 25 s, 125 s, 600 s', () => {
    expect(DEFAULT_RETRY.delaysMs).toEqual([1_000, 5_000, 25_000, 125_000, 600_000]);
  });

  it('does not wait at all', () => {
    expect(NO_RETRY.delaysMs).toEqual([]);
  });

  it.each([
    ['the default', DEFAULT_RETRY],
    ['none', NO_RETRY],
  ])('%s is frozen through and through: all buses share it', (_, policy) => {
    expect(Object.isFrozen(policy)).toBe(true);
    expect(Object.isFrozen(policy.delaysMs)).toBe(true);
  });
});

describe('exponential', () => {
  it.each([
    ['the example of the documentation', { attempts: 4, initialMs: 500 }, [500, 1_000, 2_000]],
    ['one attempt', { attempts: 1, initialMs: 500 }, []],
    ['factor 1', { attempts: 3, initialMs: 500, factor: 1 }, [500, 500]],
    ['factor 3', { attempts: 4, initialMs: 100, factor: 3 }, [100, 300, 900]],
    ['whole milliseconds', { attempts: 4, initialMs: 5, factor: 1.5 }, [5, 8, 11]],
    ['never above maxMs', { attempts: 5, initialMs: 100, maxMs: 350 }, [100, 200, 350, 350]],
    ['maxMs below initialMs', { attempts: 3, initialMs: 100, maxMs: 50 }, [50, 50]],
    ['never above 1 hour by default', { attempts: 4, initialMs: 3_000_000 }, [3_000_000, 3_600_000, 3_600_000]],
  ])('%s', (_, options, expected) => {
    expect(exponential(options).delaysMs).toEqual(expected);
  });

  it('gives whole delays, one fewer than attempts, growing, never above maxMs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 86_400_000 }),
        fc.double({ min: 1, max: 100, noNaN: true }),
        fc.integer({ min: 1, max: 86_400_000 }),
        (attempts, initialMs, factor, maxMs) => {
          const { delaysMs } = exponential({ attempts, initialMs, factor, maxMs });
          expect(delaysMs).toHaveLength(attempts - 1);
          for (const [index, delay] of delaysMs.entries()) {
            expect(Number.isInteger(delay)).toBe(true);
            expect(delay).toBeGreaterThanOrEqual(delaysMs[index - 1] ?? 1);
            expect(delay).toBeLessThanOrEqual(maxMs);
          }
          expect(delaysMs[0] ?? Math.min(initialMs, maxMs)).toBe(Math.min(initialMs, maxMs));
        },
      ),
    );
  });

  it('is deterministic, frozen data', () => {
    const options = { attempts: 6, initialMs: 70, factor: 1.7 };
    expect(exponential(options)).toEqual(exponential(options));
    expect(Object.isFrozen(exponential(options))).toBe(true);
    expect(Object.isFrozen(exponential(options).delaysMs)).toBe(true);
  });

  it.each([
    ['attempts', 0],
    ['attempts', -1],
    ['attempts', 101],
    ['attempts', Number.NaN],
    ['attempts', '3'],
    ['attempts', undefined],
    ['initialMs', 0],
    ['initialMs', 86_400_001],
    ['initialMs', Number.POSITIVE_INFINITY],
    ['initialMs', null],
    ['factor', 0.9],
    ['factor', 101],
    ['factor', Number.NaN],
    ['maxMs', 0],
    ['maxMs', 86_400_001],
    ['maxMs', 'x'],
  ])('refuses %s = %p, and names it', (name, value) => {
    const options = { attempts: 3, initialMs: 100, [name]: value };
    const error = caught(() => exponential(options));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(name);
  });

  it.each([
    ['attempts', 1],
    ['attempts', 100],
    ['initialMs', 1],
    ['initialMs', 86_400_000],
    ['factor', 1],
    ['factor', 100],
    ['maxMs', 1],
    ['maxMs', 86_400_000],
  ])('accepts %s = %d', (name, value) => {
    expect(() => exponential({ attempts: 3, initialMs: 100, [name]: value })).not.toThrow();
  });
});

describe('fixed', () => {
  it('waits the same time before each attempt but the first', () => {
    expect(fixed({ attempts: 4, delayMs: 250 }).delaysMs).toEqual([250, 250, 250]);
    expect(fixed({ attempts: 1, delayMs: 250 }).delaysMs).toEqual([]);
    expect(fixed({ attempts: 2, delayMs: 86_400_000 }).delaysMs).toEqual([86_400_000]);
  });

  it('is frozen', () => {
    const policy = fixed({ attempts: 2, delayMs: 1 });
    expect(Object.isFrozen(policy) && Object.isFrozen(policy.delaysMs)).toBe(true);
  });

  it.each([0, -1, 86_400_001, Number.NaN, undefined])(
    'refuses delayMs = %p, and calls it as the user does',
    (delayMs) => {
      const error = caught(() => fixed({ attempts: 3, delayMs: delayMs as number }));
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error.message).toContain('delayMs');
      expect(error.message).not.toContain('initialMs');
    },
  );

  it.each([0, 101, undefined])('refuses attempts = %p', (attempts) => {
    const error = caught(() => fixed({ attempts: attempts as number, delayMs: 1 }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('attempts');
  });
});
