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

  it.each<[string, Issues[number], string]>([
    ['the value at its path', { message: "received 'c4n4ry'", path: ['card'] }, 'card: is not valid'],
    ['a value below its path', { message: 'received {"pin":4321}', path: ['owner'] }, 'owner: is not valid'],
    ['a name that only the payload has', { message: 'Unrecognized key: "c4n4ry-name"' }, '(payload): is not valid'],
    ['a value elsewhere', { message: 'must differ from c4n4ry', path: ['owner'] }, 'owner: is not valid'],
    ['nothing of it', { message: 'expected number', path: ['owner', 'pin'] }, 'owner.pin: expected number'],
  ])('a text that shows %s', async (_, issue, expected) => {
    const payload = { card: 'c4n4ry', owner: { pin: 4321 }, 'c4n4ry-name': 1 };
    await expect(validate(refusing(issue), payload, 'x')).rejects.toMatchObject({
      message: `x does not fit its schema: ${expected}`,
      issues: [expected],
    });
  });

  it('shows of a name in a path at most 128 bytes', async () => {
    const error = await validate(refusing({ message: 'no', path: ['k'.repeat(10_000)] }), {}, 'x').catch(String);
    expect(String(error).length).toBeLessThan(250);
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
