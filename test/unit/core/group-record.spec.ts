import { describe, expect, it } from '@jest/globals';
import {
  mergeRecord,
  type PresentGroup,
  type RecordedBinding,
  type RecordedGroup,
  readRecord,
} from '../../../lib/core/group-record.js';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;

const on = (exchange: string, ...patterns: readonly string[]): readonly RecordedBinding[] =>
  patterns.map((pattern) => ({ exchange, pattern }));
const main = (...patterns: readonly string[]): readonly RecordedBinding[] => on('events', ...patterns);

const recorded = (over: Partial<RecordedGroup> = {}): RecordedGroup => ({
  name: 'mail',
  bindings: main('a.*'),
  delaysMs: [1_000],
  seenAt: NOW - 1,
  ...over,
});

const present = (over: Partial<PresentGroup> = {}): PresentGroup => ({
  name: 'mail',
  bindings: main('a.*'),
  delaysMs: [1_000],
  exchange: 'events',
  unbind: [],
  ...over,
});

describe('mergeRecord', () => {
  it('gives the same record when nothing has changed', () => {
    const record = [recorded(), recorded({ name: 'gone' })];
    expect(mergeRecord(record, [present()], NOW)).toBe(record);
    expect(mergeRecord(record, [], NOW)).toBe(record);
  });

  it('adds groups, and keeps those that are not there any more', () => {
    const gone = recorded({ name: 'gone' });
    expect(mergeRecord([gone], [present()], NOW)).toEqual([gone, recorded({ seenAt: NOW })]);
  });

  it('remembers patterns and delays that a group had before, but for those that it does not want any more', () => {
    const merged = mergeRecord(
      [recorded({ bindings: main('a.*', 'b.*'), delaysMs: [1_000, 5_000] })],
      [present({ bindings: main('c.*'), delaysMs: [20, 5_000], unbind: main('b.*') })],
      NOW,
    );
    expect(merged).toEqual([recorded({ bindings: main('a.*', 'c.*'), delaysMs: [1_000, 5_000, 20], seenAt: NOW })]);
  });

  it('knows patterns of several exchanges apart', () => {
    const merged = mergeRecord(
      [recorded({ bindings: [...main('a.*', 'b.*'), ...on('audit', 'b.*')] })],
      [present({ exchange: 'audit', bindings: on('audit', 'a.*', 'b.*'), unbind: main('b.*') })],
      NOW,
    );
    expect(merged).toEqual([recorded({ bindings: [...main('a.*'), ...on('audit', 'b.*', 'a.*')], seenAt: NOW })]);
  });

  it('notes anew when a group was last seen once that is an hour old', () => {
    const record = [recorded({ seenAt: NOW - HOUR + 1 })];
    expect(mergeRecord(record, [present()], NOW)).toBe(record);
    expect(mergeRecord(record, [present()], NOW + 1)).toEqual([recorded({ seenAt: NOW + 1 })]);
  });

  it('joins two notes of one group, whichever came first', () => {
    const a = recorded({ bindings: main('a.*'), delaysMs: [1], seenAt: NOW - 5 });
    const b = recorded({ bindings: main('b.*'), delaysMs: [2], seenAt: NOW - 9 });
    expect(mergeRecord([a, b], [], NOW)).toEqual([
      { name: 'mail', bindings: main('a.*', 'b.*'), delaysMs: [1, 2], seenAt: NOW - 5 },
    ]);
    expect(mergeRecord([b, a], [], NOW)).toEqual([
      { name: 'mail', bindings: main('b.*', 'a.*'), delaysMs: [2, 1], seenAt: NOW - 5 },
    ]);
  });

  it('remembers the latest hundred', () => {
    const patterns = Array.from({ length: 100 }, (_, i) => `p.${i}`);
    const [merged] = mergeRecord(
      [recorded({ bindings: main(...patterns) })],
      [present({ bindings: main('new') })],
      NOW,
    );
    expect(merged?.bindings).toEqual(main(...patterns.slice(1), 'new'));
  });
});

describe('readRecord', () => {
  it('takes what is a record', () => {
    expect(readRecord([recorded()])).toEqual([recorded()]);
  });

  it.each([undefined, null, 1, 'text', {}, { length: 1 }])('is empty for %p', (value) => {
    expect(readRecord(value)).toEqual([]);
  });

  it.each([
    ['nothing', null],
    ['no object', 'mail'],
    ['no name', recorded({ name: 1 as never })],
    ['no bindings', recorded({ bindings: 'a' as never })],
    ['patterns alone', { name: 'mail', patterns: ['a.*'], delaysMs: [], seenAt: NOW }],
    ['a binding on no exchange', recorded({ bindings: [{ pattern: 'a' } as never] })],
    ['a binding on an exchange without a name', recorded({ bindings: on('', 'a') })],
    ['a binding of nothing', recorded({ bindings: [null as never] })],
    ['a pattern that is none', recorded({ bindings: [...main('a'), { exchange: 'events', pattern: 1 as never }] })],
    ['no delays', recorded({ delaysMs: {} as never })],
    ['a delay of nothing', recorded({ delaysMs: [0] })],
    ['a delay that is no whole number', recorded({ delaysMs: [1.5] })],
    ['no time', recorded({ seenAt: 'now' as never })],
  ])('leaves out an entry with %s', (_, entry) => {
    expect(readRecord([entry, recorded()])).toEqual([recorded()]);
  });
});
