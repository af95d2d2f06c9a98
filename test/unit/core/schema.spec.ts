import { describe, expect, it } from '@jest/globals';
import { ValidationError } from '../../../lib/core/errors.js';
import { isStandardSchema, type StandardSchema, validate } from '../../../lib/core/schema.js';

type Validate = StandardSchema['~standard']['validate'];
type Issues = NonNullable<Awaited<ReturnType<Validate>>['issues']>;

function schema(validateValue: Validate): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate: validateValue } };
}

const refusing = (...issues: Issues[number][]): StandardSchema => schema(() => ({ issues }));

describe('isStandardSchema', () => {
  const standard = { version: 1, vendor: 'x', validate: () => ({ value: 1 }) };

  it.each<[string, unknown, boolean]>([
    ['an object', { '~standard': standard }, true],
    ['a function, as arktype gives', Object.assign(() => 1, { '~standard': standard }), true],
    ['an object without validate', { '~standard': { version: 1 } }, false],
    ['an object whose validate is none', { '~standard': { validate: true } }, false],
    ['an object without the field', {}, false],
    ['null', null, false],
    ['undefined', undefined, false],
    ['a text', '~standard', false],
    ['a number', 1, false],
  ])('%s', (_, value, expected) => {
    expect(isStandardSchema(value)).toBe(expected);
  });
});

describe('validate', () => {
  it('gives what the schema makes of the value, now or later', async () => {
    const double: Validate = (value) => ({ value: Number(value) * 2 });
    expect(await validate(schema(double), 4, 'x')).toBe(8);
    expect(
      await validate(
        schema(async (value) => double(value)),
        4,
        'x',
      ),
    ).toBe(8);
    expect(
      await validate(
        schema(() => ({ value: undefined })),
        4,
        'x',
      ),
    ).toBeUndefined();
  });

  it('names each path that is wrong', async () => {
    const error = await validate(
      refusing(
        { message: 'too small', path: ['order', 'lines', 0, { key: 'n' }] },
        { message: 'is missing', path: [] },
        { message: 'is odd' },
        { message: 'no', path: [Symbol('s')] },
      ),
      {},
      'The payload for "a"',
    ).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({
      code: 'VALIDATION',
      issues: ['order.lines.0.n: too small', '(payload): is missing', '(payload): is odd', 'Symbol(s): no'],
      message:
        'The payload for "a" does not fit its schema: order.lines.0.n: too small; (payload): is missing; (payload): is odd; Symbol(s): no',
    });
  });

  it('names at most 20', async () => {
    const many = Array.from({ length: 50 }, (_, i) => ({ message: `no ${i}` }));
    await expect(validate(refusing(...many), {}, 'x')).rejects.toMatchObject({
      issues: many.slice(0, 20).map(({ message }) => `(payload): ${message}`),
    });
  });

  it('is refused by issues even when there are none in the list', async () => {
    await expect(validate(refusing(), {}, 'x')).rejects.toMatchObject({ issues: [] });
  });

  it('rejects with what the schema itself throws', async () => {
    const broken = schema(() => {
      throw new RangeError('own');
    });
    await expect(validate(broken, 1, 'x')).rejects.toThrow(RangeError);
  });
});
