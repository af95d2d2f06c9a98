import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { isError } from '../../../lib/core/is-error.js';

describe('isError', () => {
  it.each<[string, unknown, boolean]>([
    ['an error', new TypeError('x'), true],
    ['an object that extends Error', Object.create(Error.prototype), true],
    ['an error of another realm', runInNewContext("new Error('x')"), true],
    ['an object that looks like one', { name: 'Error', message: 'x', stack: '' }, false],
    ['a text', 'x', false],
    ['null', null, false],
    ['undefined', undefined, false],
  ])('%s', (_, value, expected) => {
    expect(isError(value)).toBe(expected);
  });
});
