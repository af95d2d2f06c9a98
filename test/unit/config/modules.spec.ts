import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/core/errors.js';
import type { RetryPolicy } from '../../../lib/index.js';
import { caughtFrom } from '../support/caught.js';
import { ConfigFolder } from '../support/config-folder.js';

const PARTS = `
export class Own {
  contentType = 'application/x-own';
  constructor(...args) { this.args = args; }
  encode() { return new Uint8Array(); }
  decode() {}
  claim() {} done() {} forget() {} log() {} warn() {} error() {}
}
export function Older(level) { this.level = level; }
Object.assign(Older.prototype, { encode() {}, decode() {} });
export const instance = new Own('instance');
export const isTransient = (error) => error.transient === true;
export const makeLater = async (...args) => new Own(...args);
export default new Own('default');
`;

describe('a part of the user’s own', () => {
  it('is taken from a module: an object and a function as they are, a class made', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{
        "serializer": "./parts.mjs#instance",
        "logger": "./parts.mjs",
        "inbox": "./parts.mjs#Own",
        "consume": { "retry": { "fixed": { "attempts": 2, "delayMs": 5 }, "retryable": "./parts.mjs#isTransient" } },
      }`,
      'parts.mjs': PARTS,
    });
    const options = await folder.load();
    expect(options.serializer).toMatchObject({ args: ['instance'] });
    expect(options.logger).toMatchObject({ args: ['default'] });
    expect(options.inbox).toMatchObject({ args: [] });
    const retry = options.consume?.retry as RetryPolicy;
    expect(retry.delaysMs).toEqual([5]);
    expect([retry.retryable?.({ transient: true }), retry.retryable?.({})]).toEqual([true, false]);
  });

  it('with arguments: a class is made, a function called', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{
        "serializer": { "[module]": "./parts.mjs#Own", "args": [{ "level": \${LEVEL:-9}, "none": null }, "a"] },
        "inbox": { "[module]": "./parts.mjs#makeLater", "args": [{ "[module]": "./parts.mjs#instance" }] },
        "accept": [{ "[module]": "./parts.mjs#Older", "args": [7] }],
      }`,
      'parts.mjs': PARTS,
    });
    const { serializer, inbox, accept } = await folder.load();
    expect(serializer).toMatchObject({ args: [{ level: 9, none: null }, 'a'] });
    expect(inbox).toMatchObject({ args: [{ args: ['instance'] }] });
    expect(accept).toMatchObject([{ level: 7 }]);
  });

  it('is left as a class where the bus makes it', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "serializer": "./parts.mjs#Own", "accept": ["json", "./parts.mjs#Own"] }',
      'parts.mjs': PARTS,
    });
    const { serializer, accept } = await folder.load();
    expect(serializer).toHaveProperty('name', 'Own');
    expect(accept?.[1]).toBe(serializer);
  });

  it('is found from the file that names it, which may be an import; of a package too', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "[import]": "./base.jsonc", "accept": ["fast-check#Stream"] }',
      'base.jsonc': '{ "serializer": "./parts.mjs#instance" }',
      'parts.mjs': PARTS,
    });
    expect(await folder.problems()).toEqual(['event-bus.jsonc:1: accept[0] must have the methods encode, decode.']);
  });

  it('may be named by its whole path or its URL', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{ "serializer": "\${FOLDER}/parts.mjs#instance", "accept": ["\${URL}#instance"] }`,
      'parts.mjs': PARTS,
    });
    const url = pathToFileURL(join(folder.path, 'parts.mjs')).href;
    const { serializer, accept } = await folder.load({ env: { FOLDER: folder.path, URL: url } });
    expect(serializer).toMatchObject({ args: ['instance'] });
    expect(accept).toEqual([serializer]);
  });

  it('that is wrong is refused with what its module threw as the cause', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "inbox": "./bad.mjs#Inbox" }',
      'bad.mjs': 'throw new RangeError("too far");',
    });
    const error = await caughtFrom(folder.load());
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(/event-bus\.jsonc:1: inbox: its module cannot be loaded: it threw a RangeError\.$/);
    expect(error.cause).toMatchObject({ name: 'RangeError', message: 'too far' });
  });

  it('is the rule of an exchange, too', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{
        "exchange": { "name": "a", "handler": "./rules.mjs#Rule" },
        "exchanges": { "b": "./rules.mjs#rule", "c": { "handler": "./rules.mjs#Rule" } },
        "exchangeHandlers": ["./rules.mjs#rule", "./rules.mjs#Rule"],
      }`,
      'rules.mjs': `export class Rule { type = 'own'; assertRule() {} assertTopic() {} matches() {} specificity() {} overlap() {} }
export const rule = new Rule();`,
    });
    const { exchange, exchanges, exchangeHandlers } = await folder.load();
    const rule = exchanges?.b;
    const type = (rule as object).constructor;
    expect(exchange).toEqual({ name: 'a', handler: type });
    expect(exchanges).toEqual({ b: rule, c: { handler: type } });
    expect(exchangeHandlers).toEqual([rule, type]);
  });
});

it('a text may be that of a file', async () => {
  using folder = new ConfigFolder({
    'event-bus.jsonc': '{ "service": { "[file]": "./name.txt" } }',
    'name.txt': 'orders',
  });
  expect(await folder.load()).toEqual({ service: 'orders' });
});

it('a name of what is built in stays as it is', async () => {
  using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "serializer": "json", "exchange": "orders" }' });
  expect(await folder.load()).toEqual({ serializer: 'json', exchange: 'orders' });
});
