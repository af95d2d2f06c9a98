import { describe, expect, it } from '@jest/globals';
import { BadRequestException, ForbiddenException, UnauthorizedException } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { DeadLetterError } from '../../../lib/core/errors.js';
import { classifyRpcError, RpcFailure, toHandlerError, toReplyError } from '../../../lib/microservices/rpc-failure.js';

describe('what a handler of microservices fails with', () => {
  it.each([
    [new BadRequestException(), 'validation'],
    [new ForbiddenException(), 'forbidden'],
    [new UnauthorizedException(), 'forbidden'],
    [new RpcException(new ForbiddenException()), 'forbidden'],
    [new RpcException('Forbidden resource'), 'forbidden'],
    [{ status: 'error', message: 'Forbidden resource' }, 'forbidden'],
    [{ status: 403, message: 'no' }, 'forbidden'],
    [{ status: 'error', statusCode: 422, message: ['n must be a number'] }, 'validation'],
    [{ status: 'error', message: 'Internal server error' }, undefined],
    [new RpcException('out of stock'), undefined],
    [new Error('as asked'), undefined],
    ['a text', undefined],
    [undefined, undefined],
    [null, undefined],
  ])('%j: %s', (thrown, reason) => {
    const error = toHandlerError(thrown);
    expect(error).toBeInstanceOf(Error);
    expect(classifyRpcError(error)).toBe(reason);
  });

  it('keeps the errors that speak to the bus, also inside of an RpcException', () => {
    const error = new DeadLetterError('unknown currency');
    expect(toHandlerError(error)).toBe(error);
    expect(toHandlerError(new RpcException(error))).toBe(error);
  });

  it('says what it can in plain words, and nothing of an object that has no message', () => {
    expect(toHandlerError({ status: 'error', message: ['a', 'b'] }).message).toBe('a; b');
    expect(toHandlerError('a text').message).toBe('a text');
    expect(toHandlerError({ card: '4111' }).message).not.toContain('4111');
    expect(new RpcFailure({ status: 'error', message: 'Internal server error' }).isHidden).toBe(true);
    expect(new RpcFailure(null).isHidden).toBe(false);
  });

  it('tells a requester the text of an error, and an object as it is', () => {
    expect(toReplyError({ code: 1 })).toEqual({ code: 1 });
    expect(toReplyError(undefined)).toEqual({ status: 'error', message: 'Internal server error' });
    const told = toReplyError(new DeadLetterError('no', { cause: new Error('a secret') }));
    expect(told).toEqual({ status: 'error', name: 'DeadLetterError', message: 'no', code: 'DEAD_LETTER' });
  });
});
