import { describe, expect, it } from '@jest/globals';
import { BadRequestException, ForbiddenException, UnprocessableEntityException } from '@nestjs/common';
import { classifyNestError, explainNestError } from '../../lib/nest-errors.js';

const PAYLOAD = {
  amount: 1,
  card: 'c4n4ry',
  pin: 7,
  lines: [{ sku: 'c4n4ry-2', qty: 12 }],
};

const explained = (messages: unknown, payload: unknown = PAYLOAD): string | undefined =>
  explainNestError(new BadRequestException({ message: messages }), () => payload);

describe('explainNestError', () => {
  it.each([
    'amount must not be less than 2',
    'amount must be a number conforming to the specified constraints',
    'lines.0.sku must be one of the following values: a, b',
    'lines.0.qty must not be less than 2',
    'property extra should not exist',
    'currency should not be empty',
  ])('keeps what names the property and the rule: %s', (message) => {
    expect(explained([message])).toBe(message);
  });

  it.each([
    ['card must not be c4n4ry', 'card is not valid'],
    ['card "C4N4RY" is expired', 'card is not valid'],
    ['pin must not be 7', 'pin is not valid'],
    ['amount 1 is too small', 'amount is not valid'],
    ['lines.0.sku is unknown: c4n4ry-2', 'lines.0.sku is not valid'],
    ['c4n4ry is no card', 'a property is not valid'],
    ['7 is no PIN', 'a property is not valid'],
    ['amount must fit the card c4n4ry', 'amount is not valid'],
  ])('shows no value: %s', (message, expected) => {
    expect(explained([message])).toBe(expected);
    expect(explained(['amount must be positive', message])).toBe(`amount must be positive; ${expected}`);
  });

  it('keeps texts only', () => {
    expect(explained(['a', { card: 'c4n4ry' }, 1, 'b'])).toBe('a; b');
  });

  it.each(['one text', undefined, { card: 'c4n4ry' }])('says nothing of a response with %j', (message) => {
    expect(explained(message)).toBeUndefined();
  });

  it('says nothing of other errors, and does not ask for the payload', () => {
    const ask = (): never => {
      throw new Error('asked');
    };
    for (const error of [new Error('no'), undefined, 'text', new ForbiddenException('no')]) {
      expect(explainNestError(error, ask)).toBeUndefined();
    }
  });
});

describe('classifyNestError', () => {
  it.each([
    [new BadRequestException(), 'validation'],
    [new UnprocessableEntityException(), 'validation'],
    [new ForbiddenException(), 'forbidden'],
    [new Error('no'), undefined],
    [{ getStatus: (): number => 400 }, undefined],
    [Object.assign(new Error('no'), { getStatus: (): string => '400' }), undefined],
  ])('%p is %p', (error, expected) => {
    expect(classifyNestError(error)).toBe(expected);
  });
});
