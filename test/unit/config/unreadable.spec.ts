import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ConfigFolder } from '../support/config-folder.js';

const LARGE = 1_048_577;

describe('a file that cannot be read', () => {
  it('is refused where it is imported, beside all else that is wrong', async () => {
    using folder = new ConfigFolder({
      'event-bus.jsonc':
        '{\n"[import]": ["./dir", "./large.jsonc"],\n"publish": { "[import]": "./latin.jsonc" },\n"windw": 1 }',
      'large.jsonc': ' '.repeat(LARGE),
      'latin.jsonc': Uint8Array.of(0x7b, 0xe9, 0x7d),
    });
    mkdirSync(join(folder.path, 'dir'));
    expect(await folder.problems()).toEqual([
      'event-bus.jsonc:2: ["[import]"] names a file that is not a regular file: dir.',
      'event-bus.jsonc:2: ["[import]"] names a file that is larger than 1048576 bytes: large.jsonc.',
      'event-bus.jsonc:3: publish["[import]"] names a file that is not UTF-8: latin.jsonc.',
      expect.stringMatching(/^event-bus.jsonc:4: windw is not an option/),
    ]);
  });

  it('is refused as an overlay beside all else that is wrong', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': '{ "windw": 1 }' });
    mkdirSync(join(folder.path, 'event-bus.test.jsonc'));
    expect(await folder.problems({ environment: 'test' })).toEqual([
      'event-bus.test.jsonc: is not a regular file.',
      expect.stringMatching(/^event-bus.jsonc:1: windw is not an option/),
    ]);
  });
});

describe('many', () => {
  it('groups take no time', async () => {
    const groups = Array.from({ length: 10_000 }, (_, i) => `"k${i}": { "prefetch": 5, "retry": { "delaysMs": [1] } }`);
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{ "consume": { "groups": { ${groups.join(',\n')} } } }` });
    const start = performance.now();
    const { consume } = await folder.load();
    // a second on a quiet machine; half a minute when it was quadratic
    expect(performance.now() - start).toBeLessThan(15_000);
    expect(Object.keys(consume?.groups ?? {})).toHaveLength(10_000);
  }, 60_000);

  it('problems are cut off', async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `"key${i}": 1`);
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{ ${keys.join(',\n')} }` });
    const start = performance.now();
    const problems = await folder.problems();
    expect(performance.now() - start).toBeLessThan(15_000);
    expect(problems).toHaveLength(101);
    expect(problems[99]).toMatch(/^event-bus.jsonc:100: key99 is not an option/);
    expect(problems[100]).toBe('and 19900 more.');
  }, 60_000);
});

it('a text from a file has no line end at its end', async () => {
  using folder = new ConfigFolder({
    'event-bus.jsonc': '{ "service": { "[file]": "./s" }, "namespace": { "[file]": "./n" } }',
    s: 'orders\n',
    n: 'dev\r\n',
  });
  expect(await folder.load()).toEqual({ service: 'orders', namespace: 'dev' });
});
