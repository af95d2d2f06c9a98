import { ConfigurationError } from './errors.js';
import { hint, nearest } from './text.js';

/** Looks at one option and adds to `problems` what is wrong with it. Must never put the value itself into a text. */
export type Check = (value: unknown, path: string, problems: string[]) => void;

/** @throws ConfigurationError with all that is wrong with a value */
export function assertValid(check: Check, value: unknown, path: string): void {
  const problems: string[] = [];
  check(value, path, problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
}

/** After so many problems nothing is guessed. */
const GUESSES = 100;

export type Shape = Readonly<Record<string, Check>>;

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

export function integer(min: number, max: number): Check {
  return (value, path, problems) => {
    if (typeof value !== 'number') problems.push(`${path} must be a whole number, not ${kindOf(value)}.`);
    else if (!Number.isInteger(value) || value < min || value > max) {
      problems.push(`${path} must be a whole number from ${min} to ${max}; got ${value}.`);
    }
  };
}

/** Anything goes; whoever reads the option checks it. */
export const ANY: Check = () => undefined;

export const bool: Check = (value, path, problems) => {
  if (typeof value !== 'boolean') problems.push(`${path} must be true or false, not ${kindOf(value)}.`);
};

export const func: Check = (value, path, problems) => {
  if (typeof value !== 'function') problems.push(`${path} must be a function, not ${kindOf(value)}.`);
};

/** Of whatever realm. */
export const abortSignal: Check = (value, path, problems) => {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (typeof aborted !== 'boolean' || typeof addEventListener !== 'function')
    problems.push(`${path} must be an AbortSignal.`);
};

/** A non-empty string; with `pattern`, `hint` says in words what it asks for. */
export function text(pattern?: RegExp, hint?: string): Check {
  return (value, path, problems) => {
    if (typeof value !== 'string') problems.push(`${path} must be a string, not ${kindOf(value)}.`);
    else if (value === '' || (pattern && !pattern.test(value)))
      problems.push(`${path} must be ${hint ?? 'a non-empty string'}.`);
  };
}

/** A string, also an empty one: of a pattern or topic that has a meaning. */
export const anyText: Check = (value, path, problems) => {
  if (typeof value !== 'string') problems.push(`${path} must be a string, not ${kindOf(value)}.`);
};

export function oneOf(values: readonly unknown[]): Check {
  return (value, path, problems) => {
    if (values.includes(value)) return;
    const guess =
      typeof value === 'string'
        ? nearest(
            value,
            values.filter((v) => typeof v === 'string'),
          )
        : undefined;
    problems.push(
      `${path} must be one of ${values.map((v) => JSON.stringify(v)).join(', ')}${guess === undefined ? '.' : `. Did you mean "${guess}"?`}`,
    );
  };
}

/** Passes when one alternative has no complaint; else complains as the alternative chosen by `pick` does. */
export function either(pick: (value: unknown) => Check): Check {
  return (value, path, problems) => pick(value)(value, path, problems);
}

export function listOf(item: Check, min = 0): Check {
  return (value, path, problems) => {
    if (!Array.isArray(value)) return void problems.push(`${path} must be an array, not ${kindOf(value)}.`);
    if (value.length < min) problems.push(`${path} must have at least ${min} item${min === 1 ? '' : 's'}.`);
    for (const [index, entry] of value.entries()) item(entry, `${path}[${index}]`, problems);
  };
}

export function recordOf(item: Check): Check {
  return (value, path, problems) => {
    if (!isPlainObject(value)) return void problems.push(`${path} must be an object, not ${kindOf(value)}.`);
    for (const [key, entry] of Object.entries(value)) item(entry, `${path}[${JSON.stringify(key)}]`, problems);
  };
}

const NAME_LENGTH = 64;
/** 24 hexadecimal digits, or as many of base64 with a digit among them, which no name has. */
const MAY_BE_SECRET = /^[0-9a-f]{24,}$|^(?=.*[0-9+/=])[A-Za-z0-9+/_=-]{24,}$|[^\x20-\x7e]/i;

/** An object with these keys, all optional; any other key is refused with the nearest known name. */
export function shape(keys: Shape): Check {
  return (value, path, problems) => {
    if (!isPlainObject(value))
      return void problems.push(`${path || 'options'} must be an object, not ${kindOf(value)}.`);
    for (const [key, entry] of Object.entries(value)) {
      const check = Object.hasOwn(keys, key) ? keys[key] : undefined;
      const at = path === '' ? key : `${path}.${key}`;
      if (check) {
        if (entry !== undefined) check(entry, at, problems);
        continue;
      }
      if (key.length > NAME_LENGTH || MAY_BE_SECRET.test(key)) {
        // a key in the place of a name, perhaps
        const known = Object.keys(keys).join(', ');
        problems.push(`${path || 'options'} has an option whose name is not one, and is not shown. Known: ${known}.`);
        continue;
      }
      // a guess takes time, and so many nobody reads
      if (problems.length >= GUESSES) {
        problems.push(`${at} is not an option.`);
        continue;
      }
      problems.push(`${at} is not an option. ${hint(key, Object.keys(keys))}`);
    }
  };
}

/** An object of the user's own that has all of these, or a class of such objects, which are looked at again when they are made. */
export function madeWithMethods(names: readonly string[]): Check {
  const check = withMethods(names);
  return (value, path, problems) => {
    if (typeof value !== 'function') return check(value, path, problems);
    if (!names.every((name) => mayHave(value, name))) check(value.prototype, path, problems);
  };
}

/** A method that is a field is not on the prototype, but in the text of the class or of one above it. */
function mayHave(type: object, name: string): boolean {
  for (let one: unknown = type; typeof one === 'function'; one = Object.getPrototypeOf(one)) {
    if (typeof one.prototype?.[name] === 'function') return true;
    if (one.prototype && Function.prototype.toString.call(one).includes(name)) return true;
  }
  return false;
}

/** An object of the user's own that has all of these. */
export function withMethods(names: readonly string[]): Check {
  return (value, path, problems) => {
    const object = value as Readonly<Record<string, unknown>> | null | undefined;
    const missing = names.filter((name) => typeof object?.[name] !== 'function');
    if (missing.length > 0)
      problems.push(`${path} must have the method${missing.length === 1 ? '' : 's'} ${missing.join(', ')}.`);
  };
}

const DELAYS = listOf(integer(1, 86_400_000));

/** `retry`: false or a policy. */
export const retryOption: Check = either((value) =>
  value === false
    ? () => undefined
    : (policy, path, problems) => {
        shape({ delaysMs: DELAYS, retryable: func })(policy, path, problems);
        if (isPlainObject(policy) && policy.delaysMs === undefined) problems.push(`${path}.delaysMs is required.`);
        else if (isPlainObject(policy) && Array.isArray(policy.delaysMs) && policy.delaysMs.length > 99) {
          problems.push(`${path}.delaysMs has at most 99 items.`);
        }
      },
);
