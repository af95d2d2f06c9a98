import { describe, expect, it } from '@jest/globals';
import type { TransportOptions } from '../../../lib/index.js';
import { ConfigFolder } from '../support/config-folder.js';

type Env = Readonly<Record<string, string>>;

async function value(written: string, env: Env = {}): Promise<unknown> {
  using folder = new ConfigFolder({
    'event-bus.jsonc':
      `{ "transports": [{ "[module]": "./own.mjs#own" }], "other": 7, "transport": { "type": "own", "value": ${written} } }`.replace(
        '"other": 7, ',
        '',
      ),
    'own.mjs': "export const own = { type: 'own', schemes: [], load: async () => ({}) };",
  });
  const { transport } = await folder.load({ env });
  return (transport as TransportOptions).value;
}

describe('a default that is JSON', () => {
  it.each(['x","admin":"y', 'pa"ss', 'C:\\temp', '\n', `\${U}`, '}'])(
    'takes a variable as it is, without being another JSON: %j',
    async (U) => {
      expect(await value(`\${A:-{"url":"${'$'}{U}", "more": ["<\${U}>"]}}`, { U })).toEqual({
        url: U,
        more: [`<${U}>`],
      });
    },
  );

  it.each([
    [`\${A:-[\${N}, \${B:-[2]}, \${C:-"}"}]}`, { N: '1' }, [1, [2], '}']],
    [`\${A:-[\${N}]}`, { N: '1, 2' }, ['1, 2']],
    [`\${A:-[\${N}]}`, { N: '{"a":1}' }, [{ a: 1 }]],
    [`\${A:-\${B:-"}"}}`, {}, '}'],
    [`\${A:-\${B:-\${C:-"{"}}}`, {}, '{'],
    [`\${A:- \${B:-5} }`, {}, 5],
    [`\${A:-x \${B:-"}"}}`, {}, 'x "}"'],
    [`\${A:-\${H}\${P}}`, { H: '{"a"', P: ':1}' }, '{"a":1}'],
    [`\${A:-[1,]}`, {}, '[1,]'],
    [`\${A:-http://a}`, {}, 'http://a'],
    [`\${A:-"\\u0041"}`, {}, 'A'],
    [`\${A:-\${.transport.type}}`, {}, 'own'],
  ] as const)('%s', async (written, env, expected) => {
    expect(await value(written, env)).toEqual(expected);
  });

  it('has its problems said where it stands', async () => {
    using folder = new ConfigFolder({ 'event-bus.jsonc': `{\n"publish": \${A:-{ "window": \${B}, "x": 1 }} }` });
    expect(await folder.problems()).toEqual([
      `event-bus.jsonc:2: publish.window: the variable B is not set; set it, or write \${B:-default}.`,
      expect.stringMatching(/^event-bus.jsonc:2: publish.x is not an option/),
    ]);
  });
});

describe('defaults within each other', () => {
  it.each([
    ['within quotes', '"', 5000],
    ['without', '', 15_000],
    ['as items', '', 5000, '['],
  ])('are bounded in depth: %s', async (_name, quote, times, open = '') => {
    const close = open === '' ? '' : ']';
    const text = `{ "service": ${quote}${`\${A:-${open}`.repeat(times)}x${`${close}}`.repeat(times)}${quote} }`;
    using folder = new ConfigFolder({ 'event-bus.jsonc': text });
    expect((await folder.problems()).join()).toContain('deep');
  });
});

describe('a dollar', () => {
  it.each([
    [`"$\${A}"`, `\${A}`],
    [`"$$\${A}"`, '$v'],
    [`"$$$\${A}"`, `$\${A}`],
    [`"$$$$\${A}\${A}"`, '$$vv'],
    [`"\${B:-$$\${A}}"`, '$v'],
  ])('before a brace is written twice: %s', async (written, expected) => {
    expect(await value(written, { A: 'v' })).toBe(expected);
  });
});
