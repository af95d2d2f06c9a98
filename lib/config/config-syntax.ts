import type { Node, ParseError } from 'jsonc-parser';
import { ConfigurationError } from '../core/errors.js';
import { CONFIG_LIMITS } from './config-limits.js';
import { ConfigProblems } from './config-problems.js';
import { endOfReference, MALFORMED, parseReference, type Reference, UNCLOSED } from './config-reference.js';
import { ConfigSource } from './config-source.js';

/** A file taken apart. References without quotes stand in the tree as texts; `references` has them by offset. */
export interface Syntax {
  readonly root: Node;
  readonly references: ReadonlyMap<number, Reference>;
}

type Parser = typeof import('jsonc-parser');

/** Kinds of tokens; the package has these numbers only as types. */
const TOKEN = Object.freeze({ openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, unknown: 16, end: 17 });

const PYTHON: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };

const EXPECTED: Readonly<Record<string, string>> = {
  InvalidSymbol: `expected a value: text in double quotes, a number, true, false, null, an object, an array or \${NAME}.`,
  InvalidNumberFormat: 'this is not a number as JSON writes it.',
  PropertyNameExpected: 'expected a property name in double quotes.',
  ValueExpected: 'expected a value.',
  ColonExpected: 'expected a colon.',
  CommaExpected: 'expected a comma.',
  CloseBraceExpected: 'expected } before the end of the file.',
  CloseBracketExpected: 'expected ] before the end of the file.',
  EndOfFileExpected: 'expected the end of the file.',
  InvalidCommentToken: 'expected no comment.',
  UnexpectedEndOfComment: 'this comment has no closing */.',
  UnexpectedEndOfString: 'this text has no closing quote on its line.',
  UnexpectedEndOfNumber: 'this number is not complete.',
  InvalidUnicode: 'expected four hexadecimal digits after \\u.',
  InvalidEscapeCharacter: 'this text has an escape that JSON does not know; a backslash itself is written \\\\.',
  InvalidCharacter: 'this text has a control character; write it as an escape.',
};

const NOT_JSON = 'this is not JSON.';

/** Adds what is wrong to `problems`, and gives nothing then. */
export async function parseSyntax(source: ConfigSource, problems: ConfigProblems): Promise<Syntax | undefined> {
  const parser = await loadParser();
  const masked = mask(source, parser, problems);
  if (masked === undefined) return undefined;
  const errors: ParseError[] = [];
  const root = parser.parseTree(masked.text, errors, { allowTrailingComma: true });
  if (root !== undefined && errors.length === 0) return { root, references: masked.references };
  const end = root === undefined ? Number.POSITIVE_INFINITY : root.offset + root.length;
  for (const error of firstErrors(errors, parser)) {
    const isBehind = error.offset >= end && parser.printParseErrorCode(error.error) === 'InvalidSymbol';
    const text = isBehind ? EXPECTED.EndOfFileExpected : describe(error, errors, source, parser);
    problems.addSyntax({ source, offset: error.offset }, text ?? NOT_JSON);
  }
  return undefined;
}

/** A default that stands without quotes, taken apart; undefined when it is no JSON, but a text. */
export async function parseDefault(text: string): Promise<Syntax | undefined> {
  const parser = await loadParser();
  const source = new ConfigSource('', text);
  const masked = mask(source, parser, new ConfigProblems());
  if (masked === undefined) return undefined;
  const errors: ParseError[] = [];
  const root = parser.parseTree(masked.text, errors, { disallowComments: true });
  return root === undefined || errors.length > 0 ? undefined : { root, references: masked.references };
}

/** Not before a file is loaded: some bundlers cannot pack it, which is no matter for those who have no file. */
async function loadParser(): Promise<Parser> {
  try {
    return await import('jsonc-parser');
  } catch (cause) {
    throw new ConfigurationError(
      'jsonc-parser, which reads configuration files, cannot be loaded. A bundler must leave it out (external), or take what its package.json calls "module".',
      { cause },
    );
  }
}

/** References without quotes become texts of the same length, so that every place stays where it is. */
function mask(
  source: ConfigSource,
  { createScanner }: Parser,
  problems: ConfigProblems,
): { readonly text: string; readonly references: ReadonlyMap<number, Reference> } | undefined {
  const { text } = source;
  const references = new Map<number, Reference>();
  const parts: string[] = [];
  let copied = 0;
  const replace = (from: number, to: number, by: string): void => {
    parts.push(text.slice(copied, from), by);
    copied = to;
  };
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== TOKEN.end; token = scanner.scan()) {
    const offset = scanner.getTokenOffset();
    if (token === TOKEN.openBrace || token === TOKEN.openBracket) depth++;
    else if (token === TOKEN.closeBrace || token === TOKEN.closeBracket) depth--;
    if (depth > CONFIG_LIMITS.depth) {
      problems.addSyntax({ source, offset }, `more than ${CONFIG_LIMITS.depth} arrays and objects within each other.`);
      return undefined;
    }
    if (token !== TOKEN.unknown) continue;
    if (text.startsWith('${', offset)) {
      const end = endOfReference(text, offset, true);
      const reference = end === undefined ? undefined : parseReference(text.slice(offset + 2, end - 1));
      if (end === undefined || reference === undefined) {
        problems.addSyntax({ source, offset }, end === undefined ? UNCLOSED : MALFORMED);
        return undefined;
      }
      references.set(offset, reference);
      replace(offset, end, `"${'x'.repeat(end - offset - 2)}"`);
      scanner.setPosition(end);
    } else if (source.path.endsWith('.jsonp')) {
      const word = scanner.getTokenValue();
      const literal = Object.hasOwn(PYTHON, word) ? PYTHON[word] : undefined;
      if (literal !== undefined) replace(offset, offset + word.length, literal);
    }
  }
  return { text: [...parts, text.slice(copied)].join(''), references };
}

/** After a missing comma the parser finds its way; what it says after anything else may be wrong. */
function firstErrors(errors: readonly ParseError[], { printParseErrorCode }: Parser): readonly ParseError[] {
  const first = errors.findIndex(({ error }) => printParseErrorCode(error) !== 'CommaExpected');
  const commas = first < 0 ? errors : errors.slice(0, first);
  const other = first < 0 ? undefined : errors[first];
  if (other === undefined || (commas.length > 0 && commas.at(-1)?.offset === other.offset)) return commas;
  return [...commas, other];
}

function describe(
  error: ParseError,
  all: readonly ParseError[],
  { text }: ConfigSource,
  { printParseErrorCode }: Parser,
): string | undefined {
  const code = printParseErrorCode(error.error);
  if (code === 'InvalidSymbol') {
    const word = text.slice(error.offset, error.offset + error.length);
    if (Object.hasOwn(PYTHON, word)) {
      return `${word} is Python; write ${PYTHON[word]}. (A file whose name ends in .jsonp may have it.)`;
    }
    if (word.startsWith("'")) return 'expected double quotes; JSON has no single ones.';
    const next = all[all.indexOf(error) + 1];
    if (next && printParseErrorCode(next.error) === 'PropertyNameExpected') return EXPECTED.PropertyNameExpected;
  }
  return EXPECTED[code];
}
