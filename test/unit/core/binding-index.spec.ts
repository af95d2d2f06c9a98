import { describe, expect, it } from '@jest/globals';
import { ScanningIndex } from '../../../lib/core/binding-index.js';

describe('ScanningIndex', () => {
  it('asks the rule', () => {
    const index = new ScanningIndex<string>({ matches: ({ pattern }, { topic }) => topic.endsWith(pattern ?? '') });
    const removeB = index.add({ pattern: 'b' }, 'ends with b');
    index.add({ pattern: 'c' }, 'ends with c');
    index.add({}, 'everything');
    const given = { topic: 'ab', headers: {} };
    expect(index.find(given)).toEqual(['ends with b', 'everything']);
    removeB();
    expect(index.find(given)).toEqual(['everything']);
  });
});
