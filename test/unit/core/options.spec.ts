import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  anyText,
  bool,
  type Check,
  either,
  func,
  integer,
  listOf,
  oneOf,
  recordOf,
  retryOption,
  shape,
  text,
} from '../../../lib/core/options.js';

const CANARY = 'amqp://admin:c4n4ry-pa55@broker';

function complaints(check: Check, value: unknown, path = 'option'): string[] {
  const problems: string[] = [];
  check(value, path, problems);
  return problems;
}

describe('integer', () => {
  const check = integer(2, 10);

  it.each([2, 3, 10])('accepts %d', (value) => {
    expect(complaints(check, value)).toEqual([]);
  });

  it.each([1, 11, 0, -2, 2.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d, says range and number', (value) => {
    expect(complaints(check, value)).toEqual([`option must be a whole number from 2 to 10; got ${value}.`]);
  });

  it.each(['5', null, true, [5], {}, 5n, undefined])('refuses what is no number: %p', (value) => {
    const [problem, ...more] = complaints(check, value);
    expect(problem).toMatch(/^option must be a whole number, not /);
    expect(more).toEqual([]);
  });

  it('accepts exactly the whole numbers in its range', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: -5, max: 20 }), fc.double()), (value) => {
        const inside = Number.isInteger(value) && value >= 2 && value <= 10;
        expect(complaints(check, value)).toHaveLength(inside ? 0 : 1);
      }),
    );
  });
});

describe('bool, func, text', () => {
  it.each<[string, Check, unknown]>([
    ['bool', bool, true],
    ['bool', bool, false],
    ['func', func, () => 1],
    ['func', func, class {}],
    ['text', text(), 'x'],
    ['text', text(), ' '],
    ['anyText', anyText, ''],
    ['anyText', anyText, 'x'],
    ['text', text(/^a+$/, 'one or more a'), 'aaa'],
  ])('%s accepts its kind', (_, check, value) => {
    expect(complaints(check, value)).toEqual([]);
  });

  it.each<[string, Check, unknown, string]>([
    ['bool', bool, 'true', 'option must be true or false, not a string.'],
    ['bool', bool, 1, 'option must be true or false, not a number.'],
    ['bool', bool, null, 'option must be true or false, not null.'],
    ['func', func, 'x', 'option must be a function, not a string.'],
    ['func', func, [], 'option must be a function, not an array.'],
    ['text', text(), '', 'option must be a non-empty string.'],
    ['text', text(), 1, 'option must be a string, not a number.'],
    ['anyText', anyText, 1, 'option must be a string, not a number.'],
    ['anyText', anyText, null, 'option must be a string, not null.'],
    ['text', text(), {}, 'option must be a string, not an object.'],
    ['text', text(), null, 'option must be a string, not null.'],
    ['text', text(/^a+$/, 'one or more a'), 'b', 'option must be one or more a.'],
    ['text', text(/^a*$/, 'some a'), '', 'option must be some a.'],
  ])('%s refuses others, and says what it wants', (_, check, value, expected) => {
    expect(complaints(check, value)).toEqual([expected]);
  });
});

describe('oneOf', () => {
  const check = oneOf(['warn', 'reject', 'ignore']);

  it.each(['warn', 'reject', 'ignore'])('accepts %s', (value) => {
    expect(complaints(check, value)).toEqual([]);
  });

  it('lists what there is', () => {
    expect(complaints(check, 42)).toEqual(['option must be one of "warn", "reject", "ignore".']);
  });

  it.each([
    ['wran', 'warn'],
    ['Reject', 'reject'],
    ['rejected', 'reject'],
    ['ignored', 'ignore'],
  ])('guesses what %s was to be: %s', (value, expected) => {
    expect(complaints(check, value)).toEqual([
      `option must be one of "warn", "reject", "ignore". Did you mean "${expected}"?`,
    ]);
  });

  it.each([['zzzzzzzzzzzz'], [null], [undefined], [['warn']], [true]])('makes no guess for %p', (value) => {
    expect(complaints(check, value)).toEqual(['option must be one of "warn", "reject", "ignore".']);
  });
});

describe('listOf', () => {
  it('accepts a list of good items', () => {
    expect(complaints(listOf(bool), [])).toEqual([]);
    expect(complaints(listOf(bool), [true, false])).toEqual([]);
  });

  it('names each bad item by its place', () => {
    expect(complaints(listOf(bool), [true, 1, false, 'x'])).toEqual([
      'option[1] must be true or false, not a number.',
      'option[3] must be true or false, not a string.',
    ]);
  });

  it.each([[{ length: 0 }], ['ab'], [null], [new Set()]])('refuses %p', (value) => {
    const [problem] = complaints(listOf(bool), value);
    expect(problem).toMatch(/^option must be an array, not /);
  });

  it('can ask for a number of items', () => {
    expect(complaints(listOf(bool, 1), [])).toEqual(['option must have at least 1 item.']);
    expect(complaints(listOf(bool, 2), [true])).toEqual(['option must have at least 2 items.']);
    expect(complaints(listOf(bool, 2), [true, true])).toEqual([]);
  });
});

describe('recordOf', () => {
  it('accepts any names', () => {
    expect(complaints(recordOf(bool), {})).toEqual([]);
    expect(complaints(recordOf(bool), { 'orders.*': true, b: false })).toEqual([]);
  });

  it('names each bad entry', () => {
    expect(complaints(recordOf(bool), { 'orders.*': 1, b: true, 'a"b': 'x' })).toEqual([
      'option["orders.*"] must be true or false, not a number.',
      'option["a\\"b"] must be true or false, not a string.',
    ]);
  });

  it.each([[[]], ['x'], [null], [1]])('refuses %p', (value) => {
    expect(complaints(recordOf(bool), value)[0]).toMatch(/^option must be an object, not /);
  });
});

describe('either', () => {
  it('complains as the chosen check does', () => {
    const check = either((value) => (Array.isArray(value) ? listOf(bool) : bool));
    expect(complaints(check, [true])).toEqual([]);
    expect(complaints(check, true)).toEqual([]);
    expect(complaints(check, [1])).toEqual(['option[0] must be true or false, not a number.']);
    expect(complaints(check, 1)).toEqual(['option must be true or false, not a number.']);
  });
});

describe('shape', () => {
  const check = shape({
    timeoutMs: integer(1, 100),
    enabled: bool,
    buffer: shape({ messages: integer(0, 10), onFull: oneOf(['reject', 'wait']) }),
  });

  it.each([
    {},
    { timeoutMs: 1 },
    { timeoutMs: undefined, buffer: undefined },
    { buffer: {} },
    { enabled: false, buffer: { messages: 0 } },
  ])('accepts %j', (value) => {
    expect(complaints(check, value)).toEqual([]);
  });

  it('says the whole path', () => {
    expect(complaints(check, { buffer: { messages: 11 } })).toEqual([
      'option.buffer.messages must be a whole number from 0 to 10; got 11.',
    ]);
    expect(complaints(check, { timeoutMs: 0 }, '')).toEqual(['timeoutMs must be a whole number from 1 to 100; got 0.']);
  });

  it('says everything at once', () => {
    const wrong = { timeoutMs: 0, enabled: 'yes', enbled: true, buffer: { messages: 11, onFull: 'wiat', colour: 1 } };
    expect(complaints(check, wrong, '')).toEqual([
      'timeoutMs must be a whole number from 1 to 100; got 0.',
      'enabled must be true or false, not a string.',
      'enbled is not an option. Did you mean "enabled"?',
      'buffer.messages must be a whole number from 0 to 10; got 11.',
      'buffer.onFull must be one of "reject", "wait". Did you mean "wait"?',
      'buffer.colour is not an option. Known: messages, onFull.',
    ]);
  });

  it('refuses an unknown name even when its value is undefined', () => {
    expect(complaints(check, { timeout: undefined })).toEqual([
      'option.timeout is not an option. Did you mean "timeoutMs"?',
    ]);
  });

  it.each(['toString', 'constructor', 'hasOwnProperty', 'valueOf'])('takes %s for no option', (name) => {
    expect(complaints(check, { [name]: 1 })[0]).toMatch(`option.${name} is not an option.`);
  });

  it('takes an own __proto__ for no option', () => {
    expect(complaints(check, JSON.parse('{"__proto__":{"timeoutMs":1}}'))[0]).toMatch(
      'option.__proto__ is not an option.',
    );
  });

  it.each([
    [[], 'an array'],
    ['x', 'a string'],
    [null, 'null'],
    [true, 'a boolean'],
    [() => 1, 'a function'],
  ])('refuses %p', (value, kind) => {
    expect(complaints(check, value)).toEqual([`option must be an object, not ${kind}.`]);
  });
});

describe('retryOption', () => {
  it.each([[false], [{ delaysMs: [] }], [{ delaysMs: [1, 86_400_000] }], [{ delaysMs: [5], retryable: () => true }]])(
    'accepts %p',
    (value) => {
      expect(complaints(retryOption, value)).toEqual([]);
    },
  );

  it('accepts 99 delays, not 100', () => {
    const delays = (length: number) => ({ delaysMs: Array.from({ length }, () => 1) });
    expect(complaints(retryOption, delays(99))).toEqual([]);
    expect(complaints(retryOption, delays(100))).toEqual(['option.delaysMs has at most 99 items.']);
  });

  it.each<[unknown, string]>([
    [true, 'option must be an object, not a boolean.'],
    [null, 'option must be an object, not null.'],
    [3, 'option must be an object, not a number.'],
    [[1_000], 'option must be an object, not an array.'],
    [{}, 'option.delaysMs is required.'],
    [{ delaysMs: undefined }, 'option.delaysMs is required.'],
    [{ delaysMs: 1_000 }, 'option.delaysMs must be an array, not a number.'],
    [{ delaysMs: [0] }, 'option.delaysMs[0] must be a whole number from 1 to 86400000; got 0.'],
    [{ delaysMs: [1, 86_400_001] }, 'option.delaysMs[1] must be a whole number from 1 to 86400000; got 86400001.'],
    [{ delaysMs: ['1s'] }, 'option.delaysMs[0] must be a whole number, not a string.'],
    [{ delaysMs: [1], retryable: true }, 'option.retryable must be a function, not a boolean.'],
    [{ delaysMs: [1], attempts: 3 }, 'option.attempts is not an option. Known: delaysMs, retryable.'],
  ])('refuses %p', (value, expected) => {
    expect(complaints(retryOption, value)).toEqual([expected]);
  });

  it('says that a misspelt delaysMs is missing, and what was meant', () => {
    expect(complaints(retryOption, { delayMs: [1] })).toEqual([
      'option.delayMs is not an option. Did you mean "delaysMs"?',
      'option.delaysMs is required.',
    ]);
  });
});

describe('every check', () => {
  it.each<[string, Check]>([
    ['integer', integer(1, 2)],
    ['bool', bool],
    ['func', func],
    ['text with a pattern', text(/^\d$/, 'a digit')],
    ['oneOf', oneOf(['json'])],
    ['listOf', listOf(bool)],
    ['recordOf', recordOf(bool)],
    ['shape', shape({ url: bool })],
    ['retryOption', retryOption],
  ])('%s never repeats a value', (_, check) => {
    const texts = [CANARY, [CANARY], { url: CANARY }, { other: { password: CANARY } }, Symbol(CANARY), () => CANARY]
      .flatMap((value) => complaints(check, value))
      .join('\n');
    expect(texts).not.toBe('');
    expect(texts).not.toContain('c4n4ry');
  });
});
