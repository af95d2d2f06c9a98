import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { loadEventBusConfig, type TransportOptions } from '../../../lib/index.js';
import { ConfigFolder } from '../support/config-folder.js';

type Env = Readonly<Record<string, string>>;

/** The options that a file gives. */
async function load(text: string, env: Env = {}): Promise<unknown> {
  using folder = new ConfigFolder({ 'event-bus.jsonc': text });
  return await folder.load({ env });
}

/** What a value becomes: written as a property of a custom transport, whose options are nobody's business. */
async function value(written: string, env: Env = {}): Promise<unknown> {
  using folder = new ConfigFolder({
    'event-bus.jsonc': `{ "transports": [{ "[module]": "./own.mjs#own" }], "transport": { "type": "own", "value": ${written} } }`,
    'own.mjs': "export const own = { type: 'own', schemes: [], load: async () => ({}) };",
  });
  const { transport } = await folder.load({ env });
  return (transport as TransportOptions).value;
}

describe('a file', () => {
  it('has comments and trailing commas, and may begin with a byte order mark', async () => {
    const text = `\uFEFF// the orders
{
  "service": "orders", /* and
  nothing else */
  "accept": ["json",],
}
`;
    expect(await load(text)).toEqual({ service: 'orders', accept: ['json'] });
  });

  it('reaches every option', async () => {
    const options = {
      name: 'audit',
      isGlobal: false,
      service: 'orders',
      namespace: 'dev',
      transport: { type: 'rabbitmq', urls: ['amqps://a', 'amqps://b'], heartbeatMs: 5000, tls: { servername: 'c' } },
      exchange: { name: 'orders', type: 'headers' },
      exchanges: { audit: 'fanout', documents: { type: 'headers' } },
      serializer: 'json',
      accept: ['json'],
      startup: { mode: 'background', timeoutMs: 5 },
      publish: {
        timeoutMs: 1,
        window: 2,
        unroutable: 'reject',
        maxMessageBytes: 3,
        buffer: { messages: 4, bytes: 5, onFull: 'wait' },
      },
      consume: {
        enabled: ['a', 'b*'],
        concurrency: 1,
        prefetch: 2,
        timeoutMs: 3,
        maxConcurrency: 4,
        retry: { delaysMs: [1, 2] },
        unmatched: false,
        groups: { 'mail.*': { enabled: false, retry: false, concurrency: 5 } },
      },
      shutdown: { deadlineMs: 1 },
      autoStart: false,
      globalEnhancers: 'inherit',
    };
    expect(await load(JSON.stringify(options))).toEqual(options);
  });

  it('is found by the path of its folder, and by its URL', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "service": "orders" }' });
    expect(await loadEventBusConfig(folder.path)).toEqual({ service: 'orders' });
    expect(await loadEventBusConfig(pathToFileURL(join(folder.path, 'event-bus.jsonc')))).toEqual({
      service: 'orders',
    });
  });

  it('is printed without what the transport needs to log in', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "transport": "amqp://user:hunter2@host" }' });
    const options = await folder.load();
    expect(options.transport).toBe('amqp://user:hunter2@host');
    expect(inspect(options) + JSON.stringify(options)).not.toContain('hunter2');
  });
});

describe('a variable', () => {
  it.each([
    ['5672', 5672],
    ['-1.5e3', -1500],
    ['true', true],
    ['false', false],
    ['[1, "a"]', [1, 'a']],
    ['{ "a": { "b": 2 } }', { a: { b: 2 } }],
    ['"quoted"', 'quoted'],
    ['orders', 'orders'],
    ['007', '007'],
    ['', ''],
    [`\${OTHER}`, `\${OTHER}`],
  ])('that is %s becomes a value of its type without quotes, and text within', async (set, typed) => {
    expect(await value(`\${VALUE}`, { VALUE: set })).toEqual(typed);
    expect(await value(`"\${VALUE}"`, { VALUE: set })).toBe(set);
    expect(await value(`"<\${VALUE}>"`, { VALUE: set })).toBe(`<${set}>`);
  });

  it('that is null without quotes is as if it were not there', async () => {
    expect(await load(`{ "service": "a", "namespace": \${NONE} }`, { NONE: 'null' })).toEqual({ service: 'a' });
  });

  it.each([
    [`\${A:-5}`, 5],
    [`"\${A:-5}"`, '5'],
    [`\${A:-}`, ''],
    [`\${A:-a b}`, 'a b'],
    [`\${A:-{ "}": [1] }}`, { '}': [1] }],
    [`\${A:-\${B:-[2]}}`, [2]],
    [`"\${A:-<\${B}>}"`, '<>'],
    [`[\${A:-1}, \${A:-2},]`, [1, 2]],
  ])('that is not set, or empty, has its default: %s', async (written, expected) => {
    expect(await value(written, { B: '' })).toEqual(expected);
    expect(await value(written, { A: '', B: '' })).toEqual(expected);
  });

  it('that is set is not overruled by its default', async () => {
    expect(await value(`\${A:-5}`, { A: '6' })).toBe(6);
    expect(await value(`"\${A:-5}"`, { A: '6' })).toBe('6');
  });

  it('that is only inherited, as from Object, is not set', async () => {
    expect(await value(`\${constructor:-none}`)).toBe('none');
  });

  it.each([
    [`"$\${A}"`, `\${A}`],
    [`"a $$ b $A c"`, 'a $$ b $A c'],
    [`"\\u0024{A}"`, 'a'],
  ])('is escaped by a second dollar: %s', async (written, expected) => {
    expect(await value(written, { A: 'a' })).toBe(expected);
  });

  it('in a comment is none', async () => {
    expect(await load(`{ /* \${A} */ "service": "a" // \${B\n }`)).toEqual({ service: 'a' });
  });

  it('is looked up in process.env unless told otherwise', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{ "service": "\${EVENT_BUS_TEST_SERVICE}" }` });
    process.env.EVENT_BUS_TEST_SERVICE = 'from-the-process';
    try {
      expect(await loadEventBusConfig(folder.path)).toEqual({ service: 'from-the-process' });
    } finally {
      delete process.env.EVENT_BUS_TEST_SERVICE;
    }
  });
});

describe('a reference to a key', () => {
  it('gives the value of that key of the same file', async () => {
    const text = `{
      "service": "orders",
      "namespace": "\${.service}-\${STAGE}",
      "consume": { "retry": { "delaysMs": [5, 6] }, "unmatched": \${.consume.retry}, "concurrency": \${.consume.retry.delaysMs.1} },
    }`;
    expect(await load(text, { STAGE: 'dev' })).toEqual({
      service: 'orders',
      namespace: 'orders-dev',
      consume: { retry: { delaysMs: [5, 6] }, unmatched: { delaysMs: [5, 6] }, concurrency: 6 },
    });
  });

  it('cannot multiply without end', async () => {
    const lists = Array.from({ length: 30 }, (_, i) => `"x${i}": [\${.x${i + 1}}, \${.x${i + 1}}]`);
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{ ${lists.join(',\n')}, "x30": 1 }` });
    expect((await folder.problems()).join('\n')).toContain('has more than 100000 values');
    const text = JSON.stringify({ long: 'x'.repeat(500_000), service: `\${.long}\${.long}\${.long}` });
    using other = new ConfigFolder({ 'event-bus.jsonc': text });
    expect((await other.problems()).join('\n')).toContain('service has more than 1048576 characters after');
  });
});

describe('imports', () => {
  it('are merged where they stand, and what comes later wins', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': `{
        "publish": { "window": 1, "timeoutMs": 1 },
        "[import]": ["./a.jsonc", "./\${FILE}.jsonc"],
        "consume": { "[import]": "./consume.jsonc", "concurrency": 9 },
        "[import]": "./last.jsonc",
        "service": "own",
      }`,
      'a.jsonc': '{ "publish": { "window": 2 }, "accept": ["json", "json"], "namespace": "a" }',
      'b.jsonc': '{ "publish": { "buffer": { "bytes": 3 } }, "accept": ["json"], "namespace": "b" }',
      'consume.jsonc': '{ "concurrency": 4, "prefetch": 5 }',
      'last.jsonc': '{ "service": "last", "namespace": "last" }',
    });
    expect(await folder.load({ env: { FILE: 'b' } })).toEqual({
      publish: { window: 2, timeoutMs: 1, buffer: { bytes: 3 } },
      accept: ['json'],
      namespace: 'last',
      consume: { concurrency: 9, prefetch: 5 },
      service: 'own',
    });
  });

  it('are relative to the file that says them', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "[import]": "./sub/a.jsonc" }',
      'c.jsonc': '{ "service": "c" }',
    });
    mkdirSync(join(folder.path, 'sub'));
    writeFileSync(join(folder.path, 'sub', 'a.jsonc'), '{ "[import]": "../c.jsonc" }');
    expect(await folder.load()).toEqual({ service: 'c' });
  });

  it('may meet again without being a circle', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc': '{ "[import]": ["./a.jsonc", "./b.jsonc"] }',
      'a.jsonc': '{ "[import]": "./c.jsonc" }',
      'b.jsonc': '{ "[import]": "./c.jsonc" }',
      'c.jsonc': '{ "service": "c" }',
    });
    expect(await folder.load()).toEqual({ service: 'c' });
  });

  it('are bounded in depth and number', async () => {
    const chain = Array.from({ length: 20 }, (_, i) => [`f${i}.jsonc`, `{ "[import]": "./f${i + 1}.jsonc" }`]);
    using deep = new ConfigFolder({ 'event-bus.jsonc': '{ "[import]": "./f0.jsonc" }', ...Object.fromEntries(chain) });
    expect(await deep.problems()).toEqual(['f14.jsonc:1: ["[import]"] goes more than 16 files deep.']);
    const twice = Array.from({ length: 10 }, (_, i) => {
      const next = `./f${i + 1}.jsonc`;
      return [`f${i}.jsonc`, JSON.stringify({ '[import]': [next, next] })];
    });
    using wide = new ConfigFolder({
      'event-bus.jsonc': '{ "[import]": "./f0.jsonc" }',
      ...Object.fromEntries(twice),
      'f10.jsonc': '{}',
    });
    expect(await wide.problems()).toEqual([
      'f9.jsonc:1: ["[import]"] names a file that is one too many; at most 100 are read for one bus: f10.jsonc.',
    ]);
  });
});

describe('the overlay of an environment', () => {
  const files = {
    'event-bus.jsonc': `{ "service": "orders", "namespace": "dev", "publish": { "window": 5 }, "transport": "\${URL}" }`,
    'event-bus.production.jsonc': '{ "namespace": null, "publish": { "timeoutMs": 6 }, "transport": "memory:" }',
  };
  const production = { service: 'orders', publish: { window: 5, timeoutMs: 6 }, transport: 'memory:' };

  it('is chosen by NODE_ENV or by the option; what it replaces need not be known', async () => {
    using folder = new ConfigFolder(files);
    expect(await folder.load({ env: { NODE_ENV: 'production' } })).toEqual(production);
    expect(await folder.load({ environment: 'production' })).toEqual(production);
    const base = { service: 'orders', namespace: 'dev', publish: { window: 5 }, transport: 'memory:' };
    expect(await folder.load({ environment: '', env: { NODE_ENV: 'production', URL: 'memory:' } })).toEqual(base);
    expect(await folder.load({ environment: 'test', env: { URL: 'memory:' } })).toEqual(base);
  });
});

describe('a retry policy', () => {
  it('may be a rule in place of delays', async () => {
    const consume = {
      retry: { exponential: { attempts: 4, initialMs: 500 } },
      unmatched: { fixed: { attempts: 3, delayMs: 1000 } },
      groups: { 'a.b': { retry: { exponential: { attempts: 3, initialMs: 10, factor: 1.5, maxMs: 12 } } } },
    };
    expect(await load(JSON.stringify({ consume }))).toEqual({
      consume: {
        retry: { delaysMs: [500, 1000, 2000] },
        unmatched: { delaysMs: [1000, 1000] },
        groups: { 'a.b': { retry: { delaysMs: [10, 12] } } },
      },
    });
  });
});
