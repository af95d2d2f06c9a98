import { describe, expect, it } from '@jest/globals';
import { BadRequestException, ForbiddenException } from '@nestjs/common';
import { DecodeError, RemoteError, ValidationError } from '../../../lib/core/errors.js';
import { classifyNestError } from '../../../lib/nest-errors.js';
import { type TellOptions, toRemoteError, toRemoteFailure } from '../../../lib/rpc/remote-failure.js';

const TELL: TellOptions = { withStack: false, classify: classifyNestError };

describe('what is told of an error', () => {
  it('its name, message, code, details and whether it can be retried; a stack only where it was asked for', () => {
    const error = Object.assign(new TypeError('none left'), { code: 7, details: { left: 0 }, retryable: true });
    const told = { name: 'TypeError', message: 'none left', code: '7', details: { left: 0 }, retryable: true };
    expect(toRemoteFailure(error, TELL)).toEqual(told);
    const { stack, ...rest } = toRemoteFailure(error, { ...TELL, withStack: true });
    expect(rest).toEqual(told);
    expect(stack).toContain('remote-failure.spec');
  });

  it('of guards and pipes by what they mean, with what they say', () => {
    expect(toRemoteFailure(new ForbiddenException(), TELL)).toMatchObject({ code: 'FORBIDDEN' });
    const refused = toRemoteFailure(new BadRequestException(['n must be a number']), TELL);
    expect(refused).toMatchObject({ code: 'VALIDATION', details: { message: ['n must be a number'] } });
    expect(toRemoteFailure(new ValidationError('wrong', ['n: wrong']), TELL)).toMatchObject({
      code: 'VALIDATION',
      details: ['n: wrong'],
    });
    expect(toRemoteFailure(new DecodeError('bad body'), TELL)).not.toHaveProperty('details');
  });

  it('is bounded', () => {
    const big = 'x'.repeat(100_000);
    const error = Object.assign(new Error(big), { name: big, code: big, stack: big });
    const { name, message, code, stack } = toRemoteFailure(error, { ...TELL, withStack: true });
    for (const text of [name, message, code, stack]) expect(text?.length).toBeLessThanOrEqual(4_096);
  });

  it('never throws: fields can be anything, getters that throw included', () => {
    const fail = () => {
      throw new Error('as asked');
    };
    const keys = ['name', 'message', 'code', 'details', 'retryable', 'stack', 'getResponse', 'getStatus'];
    for (const key of keys) {
      const hostile = Object.defineProperty(new Error('hostile'), key, { get: fail });
      expect(toRemoteFailure(hostile, { ...TELL, withStack: true })).toMatchObject({ retryable: false });
      const odd = Object.defineProperty(new Error('odd'), key, { value: key.startsWith('get') ? fail : Symbol('s') });
      const failure = toRemoteFailure(odd, { ...TELL, withStack: true });
      expect([typeof failure.name, typeof failure.message]).toEqual(['string', 'string']);
      expect(failure.code).toBeUndefined();
    }
    expect(toRemoteFailure(new Error('classified'), { withStack: false, classify: fail })).toMatchObject({
      message: 'classified',
    });
  });

  it('of what is no error, what it is', () => {
    expect(toRemoteFailure('a text', TELL)).toEqual({ name: 'Error', message: 'a text' });
    expect(toRemoteFailure({ a: 1 }, TELL)).toMatchObject({ details: { a: 1 } });
    for (const thrown of [undefined, null, 1, 1n, Symbol('s'), () => 0])
      expect(toRemoteFailure(thrown, TELL)).toEqual({
        name: 'Error',
        message: `The handler failed with a ${typeof thrown} that is no Error.`,
      });
  });
});

describe('the error that a request rejects with', () => {
  it('has what was told, and says where it comes from', () => {
    const told = {
      name: 'OutOfStock',
      message: 'none',
      code: 'STOCK',
      details: { a: 1 },
      retryable: true,
      stack: 'at',
    };
    const error = toRemoteError('orders.place', told);
    expect(error).toBeInstanceOf(RemoteError);
    const { name, message, code, details, retryable, remoteStack, topic } = error;
    expect({ name, message, code, details, retryable, stack: remoteStack }).toEqual(told);
    expect(topic).toBe('orders.place');
  });

  it.each<[unknown]>([
    [undefined],
    [null],
    ['a text'],
    [7],
    [[]],
    [{}],
    [{ name: '', message: 7, code: {}, retryable: 'yes', stack: 1 }],
  ])('of %j, which nobody here would have sent, is one all the same', (value) => {
    const error = toRemoteError('t', value);
    expect(error).toMatchObject({ name: 'RemoteError', code: 'REMOTE', retryable: false, topic: 't' });
    expect(typeof error.message).toBe('string');
    expect(error.remoteStack).toBeUndefined();
  });
});
