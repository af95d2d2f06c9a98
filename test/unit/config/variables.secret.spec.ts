import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/index.js';
import { ConfigFolder } from '../support/config-folder.js';

const modules = {
  'm.mjs': `export class Inbox { constructor(url) { new URL(url); } }
export class Refusing { constructor(value) { throw Object.assign(new Error('no ' + JSON.stringify(value)), { value }); } }
export class Holder { constructor(value) { this.value = value; } }`,
  'token.txt': 'SECRET31337',
};

/** All that a log would show of the error. */
async function shown(text: string, A: string): Promise<string> {
  using folder = new ConfigFolder({ 'event-bus.jsonc': text, ...modules });
  const error: unknown = await folder.load({ env: { A } }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConfigurationError);
  return inspect(error, { depth: 10 });
}

describe('the value of a variable is in no error', () => {
  it.each([
    ['a number', `{ "publish": { "window": \${A} } }`, '31337777', 'publish.window must be a whole number from 1 to'],
    [
      'a setting of a rule for retries',
      `{ "consume": { "retry": { "fixed": { "attempts": \${A}, "delayMs": 5 } } } }`,
      '31337',
      'consume.retry.fixed.attempts must be a whole number',
    ],
    [
      'the settings of such a rule',
      `{ "consume": { "retry": { "fixed": \${A} } } }`,
      '{"attempts":31337,"SECRET":5}',
      `consume.retry.fixed: a key of \${A} is not an option`,
    ],
    ['an older key', `{ "port": \${A} }`, '313370', 'port must be a whole number'],
    ['a key', `{ "publish": \${A} }`, '{"SECRET":1}', `publish: a key of \${A} is not an option`],
    ['a key within', `{ "publish": \${A} }`, '{"buffer":{"SECRET x":1}}', `publish: a key of \${A} is not an option`],
    ['a key of a record', `{ "exchanges": \${A} }`, '{"SEC RET SECRET":5}', `exchanges: a key of \${A} must be`],
    [
      'a key whose value is a module',
      `{ "exchanges": \${A} }`,
      '{"SECRET":"./none.mjs"}',
      `exchanges: a key of \${A}: its module`,
    ],
    [
      'a key of another file',
      `{ "x": \${A}, "publish": \${.x} }`,
      '{"SECRET":1}',
      `publish: a key of \${A} is not an option`,
    ],
    ['a file that is not there', `{ "[import]": "./\${A}.jsonc" }`, 'SECRET', 'names a file that is not there.'],
    ['a file that cannot be read', `{ "[import]": "../\${A}" }`, 'SECRET\u0000', 'names a file that'],
    ['a module', `{ "inbox": { "[module]": "./\${A}.mjs" } }`, 'SECRET', 'cannot be found'],
    [
      'an argument',
      `{ "inbox": { "[module]": "./m.mjs#Inbox", "args": ["\${A}"] } }`,
      'SECRET no URL',
      'cannot be made with these arguments',
    ],
    [
      'a part of an argument',
      `{ "inbox": { "[module]": "./m.mjs#Refusing", "args": [{ "a": ["\${A}"] }] } }`,
      'SECRET',
      'cannot be made with these arguments',
    ],
    [
      'an argument of an argument',
      `{ "inbox": { "[module]": "./m.mjs#Refusing", "args": [{ "[module]": "./m.mjs#Holder", "args": ["\${A}"] }] } }`,
      'SECRET',
      'cannot be made',
    ],
    [
      'an argument from a file',
      '{ "inbox": { "[module]": "./m.mjs#Refusing", "args": [{ "[file]": "./token.txt" }] } }',
      '',
      'cannot be made',
    ],
  ])('%s', async (_name, text, value, said) => {
    const all = await shown(text, value);
    expect(all).toContain(said);
    expect(all).not.toMatch(/SECRET|31\.?337/);
  });

  it('the message of a ConfigurationError that a module threw', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{ "inbox": { "[module]": "./own.mjs#Own", "args": ["\${A}"] } }`,
      'own.mjs': `export class Own { constructor(value) { throw new globalThis.TheConfigurationError('bad ' + value); } }`,
    });
    Object.assign(globalThis, { TheConfigurationError: ConfigurationError });
    try {
      const plain = await folder
        .load({ env: { A: 'SECRET' } })
        .catch((error: unknown) => inspect(error, { depth: 10 }));
      expect(plain).toContain('inbox: cannot be made with these arguments');
      expect(plain).not.toContain('SECRET');
      writeFileSync(
        join(folder.path, 'event-bus.jsonc'),
        '{ "inbox": { "[module]": "./own.mjs#Own", "args": ["x"] } }',
      );
      expect(await folder.problems()).toEqual(['event-bus.jsonc:1: inbox: cannot be made with these arguments: bad x']);
    } finally {
      Reflect.deleteProperty(globalThis, 'TheConfigurationError');
    }
  });

  it('the folder of a file that imports', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{ "[import]": "./\${A}/a.jsonc" }` });
    mkdirSync(join(folder.path, 'SECRET'));
    writeFileSync(join(folder.path, 'SECRET', 'a.jsonc'), '{ "[import]": ["./none.jsonc", "./a.jsonc", "../SECRET"] }');
    expect(await folder.problems({ env: { A: 'SECRET' } })).toEqual([
      `./\${A}/a.jsonc:1: ["[import]"] names a file that is not there: ./none.jsonc.`,
      `./\${A}/a.jsonc:1: ["[import]"] goes round in a circle: event-bus.jsonc -> ./\${A}/a.jsonc -> ./\${A}/a.jsonc.`,
      // written so in the file itself
      `./\${A}/a.jsonc:1: ["[import]"] names a file that is not a regular file: ../SECRET.`,
    ]);
  });

  it('the name of a file that is imported', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{ "[import]": "./\${A}.jsonc" }`,
      'SECRET.jsonc': `{ "[import]": "./\${A}.jsonc",\n"bad": 1 }`,
    });
    expect(await folder.problems({ env: { A: 'SECRET' } })).toEqual([
      `./\${A}.jsonc:1: ["[import]"] goes round in a circle: event-bus.jsonc -> ./\${A}.jsonc -> ./\${A}.jsonc.`,
      expect.stringMatching(/^\.\/\$\{A\}\.jsonc:2: bad is not an option/),
    ]);
  });
});
