import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type TypeScript from 'typescript';
import { resolveOptions } from '../../lib/bus/resolved-options.js';
import { ConfigurationError } from '../../lib/index.js';
import { readReports, withProofs } from '../prove/promises.js';

const ts = createRequire(join(process.cwd(), 'package.json'))('typescript') as typeof TypeScript;
const readme = readFileSync('README.md', 'utf8');
const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

/** Compiles each block as a file of its own, strictly, against the library's sources. */
function complaints(folder: string): string[] {
  writeFileSync(join(folder, 'app.module.ts'), `export { AppModule, Orders } from './block-0.js';\n`);
  writeFileSync(join(folder, 'orders.events.ts'), `export { OrderPlaced } from './block-3.js';\n`);
  const files = blocks.map((block, index) => {
    const file = join(folder, `block-${index}.ts`);
    writeFileSync(file, block);
    return file;
  });
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile) as { config: { compilerOptions: object } };
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, process.cwd());
  const program = ts.createProgram(files, {
    ...options,
    noEmit: true,
    incremental: false,
    declaration: false,
    rootDir: process.cwd(),
    paths: {
      'nestjs-event-bus': [join(process.cwd(), 'lib/index.ts')],
      'nestjs-event-bus/microservices': [join(process.cwd(), 'lib/microservices/index.ts')],
      'nestjs-event-bus/testing': [join(process.cwd(), 'lib/testing/index.ts')],
    },
  });
  return ts
    .getPreEmitDiagnostics(program)
    .filter((diagnostic) => diagnostic.file === undefined || diagnostic.file.fileName.startsWith(folder))
    .map(({ file, start, messageText }) => {
      const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
      return `${file?.fileName.split('/').at(-1)}:${line} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
}

describe('README', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(process.cwd(), 'test/docs/.blocks-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('every code block compiles against the library', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(7);
    expect(complaints(folder)).toEqual([]);
  }, 60_000);

  it('the options table names options that exist, and all of them', () => {
    const table = readme.split('<!-- options -->')[1]?.split('\n\n')[0] ?? '';
    const named = [...table.matchAll(/^\| `([\w.]+)` \|/gm)].map((match) => match[1] ?? '');
    expect(named).toHaveLength(48);
    const outside = ['name', 'isGlobal']; // taken by forRoot itself
    const paths = named.filter((path) => !outside.includes(path));
    for (const path of paths) {
      // a wrong value must be refused for its type or range, not as an unknown name
      const options = path.split('.').reduceRight<unknown>((value, key) => ({ [key]: value }), Number.NaN);
      let problems: readonly string[] = [];
      try {
        resolveOptions(options as object);
      } catch (error) {
        problems = (error as ConfigurationError).problems;
      }
      expect(problems.join()).toContain(path);
      expect(problems.join()).not.toContain('is not an option');
    }
    const known = unknownNameListing();
    const tops = new Set(paths.map((path) => path.split('.')[0]));
    expect([...tops].sort()).toEqual(known);
  });

  it('the section of proofs is made from what they have written down, and every bar was cleared', () => {
    const reports = readReports('test/prove/results');
    const failures = ['attacks', 'bombs', 'crashes', 'delays', 'deploys', 'fuzz', 'poison', 'rename', 'replay'];
    const faults = ['kills', 'leaks', 'mutation', 'recovery', 'resets', 'sigterms', 'soak', 'workers'];
    const proofs = [...failures, ...faults].toSorted((a, b) => a.localeCompare(b));
    expect(reports.map(({ name }) => name)).toEqual(proofs);
    expect(reports.filter(({ bars }) => Object.values(bars).some(({ ok }) => !ok))).toEqual([]);
    for (const { name, commit } of reports) expect(`${name} ${commit}`).toMatch(/ [0-9a-f]{7,}$/);
    expect(withProofs(readme, reports)).toBe(readme);
  });
});

/** The names that the checker knows, from its own complaint about one that is like none of them. */
function unknownNameListing(): string[] {
  try {
    resolveOptions({ zzzzzzzzzzzzzzzzzzzzzzzzzzzzz: 1 } as object);
  } catch (error) {
    const [, names = ''] = /Known: (.*)\./.exec((error as ConfigurationError).message) ?? [];
    return names.split(', ').sort();
  }
  return [];
}
