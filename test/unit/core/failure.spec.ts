import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DeadLetterError } from '../../../lib/core/errors.js';
import { toFailure } from '../../../lib/core/failure.js';

describe('toFailure', () => {
  it('keeps name, message and stack', () => {
    const error = new TypeError('wrong currency');
    expect(toFailure(error)).toEqual({ name: 'TypeError', message: 'wrong currency', stack: error.stack });
  });

  it('keeps the name of own error classes', () => {
    expect(toFailure(new DeadLetterError('no such order'))).toMatchObject({
      name: 'DeadLetterError',
      message: 'no such order',
    });
  });

  it('keeps nothing else: neither cause nor own properties', () => {
    const error = Object.assign(new Error('x', { cause: new Error('c4n4ry') }), { payload: 'c4n4ry', code: 7 });
    expect(Object.keys(toFailure(error)).toSorted()).toEqual(['message', 'name', 'stack']);
    expect(JSON.stringify(toFailure(error))).not.toContain('c4n4ry');
  });

  it('gives plain data that JSON carries', () => {
    const failure = toFailure(new RangeError('x'));
    expect(JSON.parse(JSON.stringify(failure))).toEqual(failure);
    expect(Object.getPrototypeOf(failure)).toBe(Object.prototype);
  });

  it('has no stack when the error has none', () => {
    const error = new Error('x');
    delete error.stack;
    expect(toFailure(error)).toEqual({ name: 'Error', message: 'x' });
    expect('stack' in toFailure(error)).toBe(false);
  });

  it('makes text of a message that is none', () => {
    expect(toFailure(Object.assign(new Error('x'), { message: 42 as unknown as string })).message).toBe('42');
  });

  it('has no stack when it is no text', () => {
    const error = Object.assign(new Error('x'), { stack: { frames: [] } as unknown as string });
    expect('stack' in toFailure(error)).toBe(false);
  });

  it('calls an error without a name "Error"', () => {
    expect(toFailure(Object.assign(new Error('x'), { name: '' })).name).toBe('Error');
  });

  it.each([
    ['a string', 'c4n4ry'],
    ['a number', 42],
    ['undefined', undefined],
    ['null', null],
    ['an object', { message: 'c4n4ry', password: 'c4n4ry' }],
    ['an array', ['c4n4ry']],
    ['a symbol', Symbol('c4n4ry')],
    ['a function', () => 'c4n4ry'],
    ['an object without prototype', Object.create(null)],
  ])('says of %s that it was thrown, not what it holds', (_, thrown) => {
    const failure = toFailure(thrown);
    expect(failure.name).toBe('NonError');
    expect(failure.message).toMatch(/was thrown/);
    expect(JSON.stringify(failure)).not.toContain('c4n4ry');
  });

  it('is bounded: name 255 bytes, message 1 KiB, stack 4 KiB', () => {
    const error = new Error('m'.repeat(100_000));
    error.name = 'n'.repeat(100_000);
    error.stack = 's'.repeat(100_000);
    const { name, message, stack = '' } = toFailure(error);
    expect([name, message, stack].map((text) => Buffer.byteLength(text))).toEqual([255, 1_024, 4_096]);
    expect(message).toMatch(/^m+…$/);
  });

  it('is bounded in bytes whatever the letters, and never splits one', () => {
    fc.assert(
      fc.property(fc.constantFrom('a', 'é', '€', '😀'), fc.integer({ min: 0, max: 3 }), (letter, shift) => {
        const error = new Error('a'.repeat(shift) + letter.repeat(3_000));
        error.stack = error.message.repeat(2);
        const { message, stack = '' } = toFailure(error);
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1_024);
        expect(Buffer.byteLength(message)).toBeGreaterThan(1_024 - 4);
        expect(Buffer.byteLength(stack)).toBeLessThanOrEqual(4_096);
        expect(message + stack).not.toContain('\uFFFD');
      }),
    );
  });

  // the dispatcher, which promises never to reject, calls it for whatever a handler throws
  it.each<[string, (error: Error) => void]>([
    ['a message that cannot become text', (error) => Object.assign(error, { message: Object.create(null) })],
    ['a name that cannot become text', (error) => Object.assign(error, { name: Object.create(null) })],
    ['a message that throws', (error) => Object.defineProperty(error, 'message', { get: () => JSON.parse('{') })],
    ['a stack that throws', (error) => Object.defineProperty(error, 'stack', { get: () => JSON.parse('{') })],
  ])('does not throw for an error with %s', (_, spoil) => {
    const error = new Error('x');
    spoil(error);
    expect(['', 'x']).toContain(toFailure(error).message);
  });

  // every error of Node itself is of another realm in the tests of users who have Jest
  it('knows errors of other realms', () => {
    const foreign = runInNewContext("new TypeError('from elsewhere')") as unknown;
    expect(foreign).not.toBeInstanceOf(Error);
    expect(toFailure(foreign)).toMatchObject({ name: 'TypeError', message: 'from elsewhere' });
  });
});
