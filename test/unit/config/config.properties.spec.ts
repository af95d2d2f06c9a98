import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { aboutOf } from '../../../lib/config/config-complaint.js';
import { ConfigEvaluator } from '../../../lib/config/config-evaluator.js';
import { type ConfigNode, toValue } from '../../../lib/config/config-node.js';
import { itemPath, propertyPath } from '../../../lib/config/config-path.js';
import { ConfigProblems } from '../../../lib/config/config-problems.js';
import { ConfigSource } from '../../../lib/config/config-source.js';
import { parseSyntax } from '../../../lib/config/config-syntax.js';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { ConfigFolder } from '../support/config-folder.js';

const plain = (text: string): string => text.replaceAll('$', 'S');
const key = fc.string({ unit: 'binary', maxLength: 6 }).map(plain);
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -1.5e300, 1e-9),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary' }).map(plain),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(fc.oneof(key, fc.constantFrom('__proto__', 'constructor', 'a.b', 'a b', '')), tie('value'), {
    maxKeys: 5,
  }),
})).object as fc.Arbitrary<Record<string, unknown>>;
/** What may stand between two tokens. */
const trivia = fc.array(
  fc.constantFrom('', ' ', '\n', '\r\n', '\t', '// a "comment", {\n', '/* one\n** more, [ */', '/**/', '//\r\n'),
  { minLength: 1, maxLength: 40 },
);

interface Written {
  readonly text: string;
  /** Where each value is written, or its key, by path. */
  readonly offsets: ReadonlyMap<string, number>;
}

/** Writes a value with comments wherever there may be some, and with commas behind the last. */
function write(value: unknown, between: readonly string[]): Written {
  const offsets = new Map<string, number>();
  let text = '';
  let next = 0;
  const put = (token: string): void => {
    text += token + between[next++ % between.length];
  };
  const visit = (part: unknown, path: string): void => {
    if (!offsets.has(path)) offsets.set(path, text.length);
    if (Array.isArray(part)) {
      put('[');
      for (const [index, item] of part.entries()) {
        visit(item, itemPath(path, index));
        if (index < part.length - 1 || next % 2 === 0) put(',');
      }
      put(']');
    } else if (typeof part === 'object' && part !== null) {
      put('{');
      const entries = Object.entries(part);
      for (const [index, [name, entry]] of entries.entries()) {
        const at = propertyPath(path, name);
        offsets.set(at, text.length);
        put(JSON.stringify(name));
        put(':');
        visit(entry, at);
        if (index < entries.length - 1 || next % 2 === 0) put(',');
      }
      put('}');
    } else put(JSON.stringify(part));
  };
  put('');
  visit(value, '');
  return { text, offsets };
}

async function parse(text: string): Promise<ConfigNode> {
  const problems = new ConfigProblems();
  const source = new ConfigSource('/a/event-bus.jsonc', text);
  const syntax = await parseSyntax(source, problems);
  problems.throwIfAny();
  if (syntax === undefined) throw new Error('Nothing was said of what is wrong.');
  const context = { env: {}, problems, countValue: () => true, importFile: async () => undefined };
  return new ConfigEvaluator(source, syntax, context).evaluate('');
}

function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = 0; at < offset; at++) if (text[at] === '\n') line++;
  return line;
}

describe('for any document without references', () => {
  it('its value is that of JSON.parse, whatever comments and last commas there are', async () => {
    await fc.assert(
      fc.asyncProperty(json, trivia, async (value, between) => {
        expect(toValue(await parse(write(value, between).text), 'kept')).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 300 },
    );
  });

  it('every value knows its line, and complaints about its path are about it', async () => {
    await fc.assert(
      fc.asyncProperty(json, trivia, async (value, between) => {
        const { text, offsets } = write(value, between);
        const root = await parse(text);
        for (const [path, offset] of offsets) {
          if (path === '') continue;
          const { place } = aboutOf(root, `${path} must be something else.`).node;
          expect([path, place.offset]).toEqual([path, offset]);
          expect(place.source.position(offset).line).toBe(lineOf(text, offset));
        }
      }),
      { numRuns: 300 },
    );
  });
});

const tokens = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '$',
        `\${`,
        `\${A}`,
        `"\${A}"`,
        `\${B:-`,
        `\${.a}`,
        `$\${`,
        '\\',
      ),
      fc.constantFrom(
        '"a"',
        '"service"',
        '"transport"',
        '"[import]"',
        '"[module]"',
        '"[file]"',
        '"consume"',
        '"./x"',
        '"host"',
      ),
      fc.constantFrom('null', 'true', 'True', '5', '-', '1e999', '//', '/*', '*/', '\n', ' ', '\uFEFF', '\u0000', "'"),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''));
/** Something that is nearly right. */
const nearly = fc.tuple(json, trivia, fc.nat(), fc.nat({ max: 3 }), tokens).map(([value, between, at, gone, token]) => {
  const { text } = write(value, between);
  const start = at % (text.length + 1);
  return text.slice(0, start) + token + text.slice(start + gone);
});

it('any text, with any variable, gives options or a ConfigurationError that does not show the variable', async () => {
  const secret = fc.string({ unit: fc.constantFrom('q', 'z', 'x', '7', '"', '\\', '$', '{', '}'), minLength: 9 });
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(tokens, nearly), secret, async (text, value) => {
      using folder = new ConfigFolder({ 'event-bus.jsonc': text });
      const error = await folder.load({ env: { A: value, B: value } }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) return;
      expect(error).toBeInstanceOf(ConfigurationError);
      expect((error as Error).message).not.toContain(value);
      refused++;
    }),
    { numRuns: 400 },
  );
  expect(refused).toBeGreaterThan(200);
});
