import { describe, expect, it } from '@jest/globals';
import { IdSource } from '../../../lib/core/id-source.js';

describe('IdSource', () => {
  it('gives UUIDs of version 4, each once, across many batches', () => {
    const ids = new IdSource();
    const all = Array.from({ length: 10_000 }, () => ids.next());
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    expect(all.filter((id) => !uuid.test(id))).toEqual([]);
    expect(new Set(all).size).toBe(all.length);
  });

  it('uses all its random bits', () => {
    const ids = new IdSource();
    const seen = Array.from({ length: 36 }, () => new Set<string>());
    for (let i = 0; i < 2_000; i++) for (const [at, char] of ids.next().split('').entries()) seen[at]?.add(char);
    const fixed: Record<number, number> = { 8: 1, 13: 1, 14: 1, 18: 1, 19: 4, 23: 1 };
    expect(seen.map((chars) => chars.size)).toEqual(Array.from({ length: 36 }, (_, at) => fixed[at] ?? 16));
  });
});
