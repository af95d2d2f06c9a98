import { describe, expect, it } from '@jest/globals';
import type { Member } from '../../../lib/rendezvous/member.js';
import { describeMissing, Requirements } from '../../../lib/rendezvous/requirements.js';
import { problemsOf } from '../support/caught.js';

const member = (instanceId: string, ...roles: string[]): Member => ({ instanceId, service: 'shop', roles, since: 0 });

describe('requirements', () => {
  it.each([
    [undefined, /^Requirements say how many/],
    [null, /^Requirements say how many/],
    [['worker'], /^Requirements say how many/],
    [{}, /^The requirements are empty/],
    [{ worker: 0 }, /^requirements\["worker"\] must be a whole number from 1 to 10000/],
    [{ worker: -1 }, /must be a whole number/],
    [{ worker: 1.5 }, /must be a whole number/],
    [{ worker: Number.NaN }, /must be a whole number/],
    [{ worker: '1' }, /must be a whole number/],
    [{ '': 1 }, /has 1 to 128 characters/],
    [{ ['x'.repeat(129)]: 1 }, /has 1 to 128 characters/],
    [Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`r${n}`, 1])), /more than 100/],
  ])('refuse %j', (raw, problem) => {
    const problems = problemsOf(() => new Requirements(raw as unknown as Record<string, number>));
    expect(problems).toEqual([expect.stringMatching(problem)]);
  });

  it('count each instance once for each pattern, as they come and go', () => {
    const requirements = new Requirements({ 'worker.*': 2, '*': 2 }, [member('a', 'worker.x', 'worker.y')]);
    expect(requirements.missing).toEqual([
      { pattern: 'worker.*', wanted: 2, found: 1 },
      { pattern: '*', wanted: 2, found: 1 },
    ]);
    const b = member('b', 'worker.z');
    requirements.change(undefined, b);
    expect([requirements.areMet, requirements.missing]).toEqual([true, []]);
    requirements.change(b, member('b', 'idle'));
    expect(requirements.missing).toEqual([{ pattern: 'worker.*', wanted: 2, found: 1 }]);
    requirements.change(member('b', 'idle'), undefined);
    expect(requirements.missing.map(({ found }) => found)).toEqual([1, 1]);
  });

  it('are not fooled by names of built-ins', () => {
    const requirements = new Requirements({ constructor: 1, toString: 1 }, [member('a', '__proto__')]);
    expect(requirements.missing.map(({ found }) => found)).toEqual([0, 0]);
  });

  it('say who is missing and who is there, on one line, and not too much of it', () => {
    const missing = [{ pattern: 'db\n', wanted: 2, found: 1 }];
    expect(describeMissing(missing, [])).toBe('missing: "db\\n" (1 of 2). Nobody is ready.');
    const members = Array.from({ length: 12 }, (_, n) => member(`instance-${n}`, `r${n}`));
    expect(describeMissing(missing, members)).toMatch(/Ready: shop\/instance \(r0\), .*\(r9\), and 2 more\.$/);
    const many = member('a', ...Array.from({ length: 20 }, (_, n) => `r${n}`));
    expect(describeMissing(missing, [{ ...many, service: '' }])).toMatch(/Ready: unnamed\/a \(r0, .*r9, …\)\.$/);
  });
});
