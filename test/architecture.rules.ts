import { posix } from 'node:path';
import ts from 'typescript';

/** What the files of a layer may import besides node: built-ins and files of their own layer. */
interface Layer {
  /** Other layers; `transports/*` is every folder of a transport. */
  readonly layers: readonly string[];
  /** Packages, with their subpaths. */
  readonly packages: readonly string[];
  /** Of these layers only types and UPPER_CASE constants. */
  readonly constantsOf?: readonly string[];
}

const LOWER = ['core', 'exchanges', 'serializers', 'startup'];
const NEST = ['@nestjs/common', '@nestjs/core', 'rxjs'];

/** DESIGN.md §6. A new folder under lib needs its line here. */
const LAYERS: Readonly<Record<string, Layer>> = {
  core: { layers: [], packages: [] },
  exchanges: { layers: ['core'], packages: [] },
  // what consumers wait for; the rendezvous of instances, which is above, it is given
  startup: { layers: ['core'], packages: [] },
  serializers: { layers: ['core'], packages: ['msgpackr', 'protobufjs'] },
  'transports/*': { layers: ['core'], packages: [] },
  'transports/rabbitmq': { layers: ['core'], packages: ['amqplib', 'amqp-connection-manager'] },
  // transport.registry.ts
  transports: { layers: ['core', 'transports/*'], packages: [] },
  bus: { layers: LOWER, packages: ['rxjs', 'reflect-metadata'] },
  rpc: { layers: [...LOWER, 'bus'], packages: [] },
  rendezvous: { layers: [...LOWER, 'bus'], packages: ['rxjs'] },
  decorators: { layers: ['core', 'bus'], packages: ['@nestjs/common', 'reflect-metadata'], constantsOf: ['bus'] },
  // reads files; what options there are, it is told by the nest layer
  config: { layers: ['core'], packages: ['jsonc-parser'] },
  // the files directly in lib
  nest: {
    layers: [...LOWER, 'transports', 'transports/*', 'bus', 'rendezvous', 'rpc', 'decorators', 'config'],
    packages: [...NEST, 'reflect-metadata'],
  },
  // the entry for those who have @nestjs/microservices; nothing else may need it
  microservices: {
    layers: [...LOWER, 'bus', 'rpc', 'nest'],
    packages: [...NEST, '@nestjs/microservices'],
  },
  testing: {
    layers: [...LOWER, 'transports', 'transports/*', 'bus', 'rendezvous', 'rpc', 'decorators', 'nest'],
    packages: NEST,
  },
};

/** Files that load modules which only users know. */
const MODULES_OF_USERS: ReadonlySet<string> = new Set(['lib/config/config-modules.ts']);

const MAX_LINES = 300;
const KEBAB = '[a-z0-9]+(-[a-z0-9]+)*';
const FILE_NAME = new RegExp(`^${KEBAB}(\\.${KEBAB})*\\.ts$`);
const FOLDER_NAME = new RegExp(`^${KEBAB}$`);
const CONSTANT_NAME = /^[A-Z][A-Z0-9_]*$/;

interface Import {
  readonly line: number;
  readonly specifier: string;
  /** Vanishes when compiled (verbatimModuleSyntax keeps `import { type A }` as a bare import). */
  readonly typeOnly: boolean;
  /** Brings in nothing but types and UPPER_CASE constants. */
  readonly constantsOnly: boolean;
}

interface Parsed {
  readonly imports: readonly Import[];
  readonly problems: readonly { readonly line: number; readonly text: string }[];
}

/** Checks files by path (`lib/…`, with slashes) and text; each problem is one line `path:line: what`. */
export function checkArchitecture(sources: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const edges = new Map<string, { to: string; line: number }[]>();
  for (const [path, text] of sources) {
    const report = (line: number, what: string) => problems.push(`${path}:${line}: ${what}`);
    checkShape(path, text, report);
    const parsed = parse(path, text);
    for (const problem of parsed.problems) report(problem.line, problem.text);
    const layer = layerOf(path);
    if (layer === undefined) report(1, 'has no layer: add it to LAYERS in test/architecture.rules.ts, or move it');
    const targets: { to: string; line: number }[] = [];
    for (const found of parsed.imports) {
      const target = found.specifier.startsWith('.') ? resolve(path, found.specifier) : undefined;
      if (target !== undefined && !sources.has(target)) {
        report(found.line, `'${found.specifier}' is no file under lib (write the .js ending)`);
        continue;
      }
      if (target !== undefined && !found.typeOnly) targets.push({ to: target, line: found.line });
      const reason = layer && refusal(layer, found, target);
      if (reason) report(found.line, reason);
    }
    edges.set(path, targets);
  }
  return [...problems, ...cycles(edges)];
}

function checkShape(path: string, text: string, report: (line: number, what: string) => void): void {
  const folders = path.split('/');
  const name = folders.pop() ?? '';
  if (!FILE_NAME.test(name) || !folders.every((folder) => FOLDER_NAME.test(folder))) {
    report(1, 'is not named in kebab-case with a dot before the role (retry-policy.ts, topic.exchange.ts)');
  }
  const lines = text.replace(/\n$/, '').split('\n').length;
  if (lines > MAX_LINES) report(MAX_LINES + 1, `has ${lines} lines, ${MAX_LINES} are allowed`);
}

function layerOf(path: string): string | undefined {
  const [, folder = '', second = '', ...deeper] = path.split('/');
  if (second === '') return 'nest';
  if (folder !== 'transports') return folder in LAYERS ? folder : undefined;
  if (deeper.length > 0) return `transports/${second}`;
  return second === 'transport.registry.ts' ? 'transports' : undefined;
}

function ruleOf(layer: string): Layer | undefined {
  return LAYERS[layer] ?? (layer.startsWith('transports/') ? LAYERS['transports/*'] : undefined);
}

function refusal(layer: string, found: Import, target: string | undefined): string | undefined {
  const rule = ruleOf(layer);
  if (rule === undefined) return undefined;
  if (target === undefined) return packageRefusal(layer, rule, found);
  const to = layerOf(target);
  if (to === undefined || to === layer) return undefined;
  if (!rule.layers.some((allowed) => allowed === to || (allowed === 'transports/*' && to.startsWith('transports/')))) {
    return `${layer} must not import from ${to} ('${found.specifier}')`;
  }
  if (rule.constantsOf?.includes(to) && !found.typeOnly && !found.constantsOnly) {
    return `${layer} may import only types and UPPER_CASE constants from ${to} ('${found.specifier}')`;
  }
  return undefined;
}

function packageRefusal(layer: string, rule: Layer, found: Import): string | undefined {
  if (found.specifier.startsWith('node:')) return undefined;
  const parts = found.specifier.split('/');
  const name = parts.slice(0, found.specifier.startsWith('@') ? 2 : 1).join('/');
  return rule.packages.includes(name) ? undefined : `${layer} must not import the package '${found.specifier}'`;
}

function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts');
}

function parse(path: string, text: string): Parsed {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false);
  const imports: Import[] = [];
  const problems: { line: number; text: string }[] = [];
  const lineOf = (node: ts.Node) => source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
  const problem = (node: ts.Node, what: string) => problems.push({ line: lineOf(node), text: what });
  const add = (node: ts.Node, specifier: ts.Node | undefined, typeOnly: boolean, constantsOnly = false) => {
    if (specifier && ts.isStringLiteralLike(specifier)) {
      imports.push({ line: lineOf(node), specifier: specifier.text, typeOnly, constantsOnly });
    } else if (!MODULES_OF_USERS.has(path)) problem(node, 'an import with a computed name cannot be checked');
  };

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const bindings = node.importClause?.namedBindings;
      const named = node.importClause?.name === undefined && bindings && ts.isNamedImports(bindings);
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      add(node, node.moduleSpecifier, typeOnly, named && areConstants(bindings.elements));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      const named = node.exportClause && ts.isNamedExports(node.exportClause) ? node.exportClause : undefined;
      add(node, node.moduleSpecifier, node.isTypeOnly, named && areConstants(named.elements));
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isExternalModuleReference(node)) {
      add(node, node.expression, false);
    } else if (ts.isCallExpression(node) && isImportCall(node)) {
      add(node, node.arguments[0], false);
    } else if (makesRegExp(node) && !path.startsWith('lib/testing/')) {
      problem(node, 'a RegExp made of text: somebody may choose one that takes for ever, compare words or characters');
    } else if (ts.isEnumDeclaration(node)) {
      problem(node, 'enum: use a union of string literals');
    } else if (ts.isPrivateIdentifier(node)) {
      problem(node, `${node.text}: use private (a Proxy around an injectable breaks # names)`);
    } else if (ts.isNonNullExpression(node)) {
      problem(node, 'non-null assertion (!): check the value');
    } else if (node.kind === ts.SyntaxKind.AnyKeyword) {
      problem(node, 'any: use unknown or the real type');
    }
    ts.forEachChild(node, isFreeRest(node) ? ignore : visit);
  };
  visit(source);

  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement) && !(statement.declarationList.flags & ts.NodeFlags.Const)) {
      problem(statement, 'module-level let: state belongs into an object with a lifetime');
    }
  }
  return { imports, problems };
}

function isImportCall(node: ts.CallExpression): boolean {
  if (node.expression.kind === ts.SyntaxKind.ImportKeyword) return true;
  return ts.isIdentifier(node.expression) && node.expression.text === 'require';
}

/** `new RegExp(text)` and `RegExp(text)`; a literal is written by whoever reads it. Methods of texts make one as well. */
function makesRegExp(node: ts.Node): boolean {
  if (!ts.isNewExpression(node) && !ts.isCallExpression(node)) return false;
  const { expression, arguments: args } = node;
  if (ts.isIdentifier(expression)) return expression.text === 'RegExp';
  if (!ts.isPropertyAccessExpression(expression)) return false;
  if (expression.name.text === 'RegExp') return true;
  const pattern = args?.[0];
  return (
    ['match', 'matchAll', 'search'].includes(expression.name.text) &&
    expression.expression.kind !== ts.SyntaxKind.ThisKeyword &&
    pattern !== undefined &&
    !ts.isRegularExpressionLiteral(pattern)
  );
}

/** `...args: any[]`: the one way to take any function without losing what its parameters infer. */
function isFreeRest(node: ts.Node): boolean {
  return (
    ts.isParameter(node) &&
    node.dotDotDotToken !== undefined &&
    node.type !== undefined &&
    ts.isArrayTypeNode(node.type) &&
    node.type.elementType.kind === ts.SyntaxKind.AnyKeyword
  );
}

function ignore(): void {}

function areConstants(elements: readonly (ts.ImportSpecifier | ts.ExportSpecifier)[]): boolean {
  return elements.every(
    (element) => element.isTypeOnly || CONSTANT_NAME.test((element.propertyName ?? element.name).text),
  );
}

/** One line for each cycle that a depth-first walk meets. */
function cycles(edges: ReadonlyMap<string, readonly { to: string; line: number }[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (file: string): void => {
    path.push(file);
    for (const { to, line } of edges.get(file) ?? []) {
      const start = path.indexOf(to);
      if (start >= 0) found.push(`${file}:${line}: import cycle: ${[...path.slice(start), to].join(' -> ')}`);
      else if (!done.has(to)) walk(to);
    }
    path.pop();
    done.add(file);
  };
  for (const file of edges.keys()) if (!done.has(file)) walk(file);
  return found;
}
