import { createRequire } from 'node:module';
import { dirname, isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isClass } from '../core/constructor.js';
import { ConfigurationError } from '../core/errors.js';
import { nearest } from '../core/text.js';
import { brokenIn, type ConfigNode, type ObjectNode, secretIn, toValue, type ValueNode } from './config-node.js';
import { childPath, itemPath, propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';
import { readText } from './config-source.js';

/**
 * Where a text may name a module; `*` is any key or index. Elsewhere `{ "[module]": … }` does, so that no password and no name
 * is ever taken for the path of one.
 */
const PLUG_INS: readonly string[] = [
  'transport',
  'transports.*',
  'exchange',
  'exchange.handler',
  'exchanges.*',
  'exchanges.*.handler',
  'exchangeHandlers.*',
  'serializer',
  'accept.*',
  'inbox',
  'logger',
  'publish.onUnroutable',
  'consume.retry.retryable',
  'consume.unmatched.retryable',
  'consume.groups.*.retry.retryable',
];

/** There a class without arguments is left as it is: the bus makes it, with what modules provide. */
const MADE_BY_THE_BUS: readonly string[] = [
  'exchange',
  'exchange.handler',
  'exchanges.*',
  'exchanges.*.handler',
  'exchangeHandlers.*',
  'serializer',
  'accept.*',
];

/** A path that begins with a dot, a URL, or a path or package with `#` and what is wanted of it; no name, no URL of a broker. */
const MODULE = /^(\.{1,2}\/[^#]+(#[\w$]+)?|file:[^#]+(#[\w$]+)?|(\/|@?[a-z0-9])[^:#]*#[\w$]+)$/i;

const MODULE_KEYS: readonly string[] = ['[module]', 'args'];

const NOT_CALLABLE = 'args are for classes and functions, and this is neither.';

type Callable = (...args: readonly unknown[]) => unknown;

interface Wanted {
  /** `./file.js#Export` or `package#Export`; without `#` the default export. */
  readonly specifier: ValueNode;
  readonly path: string;
  readonly args: readonly unknown[] | undefined;
  /** The variable, as it is written, that the arguments are from. */
  readonly secret: string | undefined;
  readonly isMadeByBus: boolean;
}

/** Puts in place of every module that the configuration names what that module exports, and of `[file]` its text. */
export class ConfigModules {
  constructor(private readonly problems: ConfigProblems) {}

  load(root: ConfigNode): Promise<ConfigNode> {
    return this.node(root, '', []);
  }

  private async node(node: ConfigNode, path: string, keys: readonly string[]): Promise<ConfigNode> {
    switch (node.kind) {
      case 'value': {
        const { value } = node;
        const isModule = typeof value === 'string' && isPlugIn(keys) && MODULE.test(value);
        return isModule
          ? this.module(node, {
              specifier: node,
              path,
              args: undefined,
              secret: undefined,
              isMadeByBus: isMadeByBus(keys),
            })
          : node;
      }
      case 'list': {
        const items: ConfigNode[] = [];
        for (const [index, item] of node.items.entries()) {
          items.push(await this.node(item, itemPath(path, index), [...keys, '*']));
        }
        return { ...node, items };
      }
      case 'object': {
        if (node.entries.has('[module]')) return this.explicit(node, path, keys);
        if (node.entries.has('[file]')) return this.file(node, path);
        const entries = new Map<string, ConfigNode>();
        for (const [key, child] of node.entries) {
          entries.set(key, await this.node(child, childPath(node, path, key), [...keys, key]));
        }
        return { ...node, entries };
      }
      case 'broken':
        return node;
      default:
        return node satisfies never;
    }
  }

  private async explicit(node: ObjectNode, path: string, keys: readonly string[]): Promise<ConfigNode> {
    const specifier = node.entries.get('[module]');
    const given = node.entries.get('args');
    if (specifier?.kind === 'broken') return specifier;
    for (const [key, { place }] of node.entries) {
      if (!MODULE_KEYS.includes(key)) {
        this.problems.add(place, `${childPath(node, path, key)} is not known beside "[module]". Known: args.`);
      }
    }
    if (specifier?.kind !== 'value' || typeof specifier.value !== 'string' || specifier.value === '') {
      return this.refuse(node, `${path} must name a module: "./file.js#Export" or "package#Export".`);
    }
    if (given !== undefined && given.kind !== 'list') {
      return this.refuse(given, `${propertyPath(path, 'args')} must be an array.`);
    }
    let args: unknown[] | undefined;
    let secret: string | undefined;
    if (given) {
      const made = await this.node(given, propertyPath(path, 'args'), ['args']);
      const broken = brokenIn(made);
      if (broken) return broken;
      args = toValue(made, 'kept') as unknown[];
      secret = secretIn(made)?.writtenAs;
    }
    return this.module(node, { specifier, path, args, secret, isMadeByBus: isMadeByBus(keys) });
  }

  private async module(node: ConfigNode, { specifier, path, args, secret, isMadeByBus }: Wanted): Promise<ConfigNode> {
    const written = String(specifier.value);
    const hash = written.lastIndexOf('#');
    const name = hash < 0 ? 'default' : written.slice(hash + 1);
    const refuse = (text: string, cause?: unknown) =>
      // what a module throws may show what it was asked for
      this.refuse(
        node,
        `${path}: ${text}`,
        specifier.writtenAs !== undefined || secret !== undefined ? undefined : cause,
      );
    let exported: Readonly<Record<string, unknown>>;
    try {
      exported = await importFrom(specifier.place.source.path, hash < 0 ? written : written.slice(0, hash));
    } catch (cause) {
      const { code } = cause as { readonly code?: string };
      if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
        return refuse('its module, or one that this imports, cannot be found.', cause);
      }
      return refuse(`its module cannot be loaded: it threw a ${nameOf(cause)}.`, cause);
    }
    if (exported[name] === undefined) {
      const known = Object.keys(exported).filter((key) => key !== 'module.exports');
      const guess = nearest(name, known);
      return refuse(
        `its module has no such export. ${guess === undefined ? `It has: ${known.join(', ') || 'none'}.` : `Did you mean "${guess}"?`}`,
      );
    }
    try {
      const value = await make(exported[name], args, isMadeByBus);
      return { kind: 'value', place: node.place, value, ...(secret !== undefined && { writtenAs: secret }) };
    } catch (cause) {
      const isTold = cause instanceof ConfigurationError && (secret === undefined || cause.message === NOT_CALLABLE);
      const reason = isTold ? cause.message : `it threw a ${nameOf(cause)}.`;
      return refuse(`cannot be made with these arguments: ${reason}`, cause);
    }
  }

  private async file(node: ObjectNode, path: string): Promise<ConfigNode> {
    const target = node.entries.get('[file]');
    if (target?.kind === 'broken') return target;
    if (target?.kind !== 'value' || typeof target.value !== 'string' || node.entries.size > 1) {
      return this.refuse(node, `${path} must be { "[file]": "./path" } and nothing else.`);
    }
    const place = target.place;
    const read = (await readText(resolve(dirname(place.source.path), target.value))) ?? { refusal: 'does not exist' };
    if ('refusal' in read) {
      const cause = target.writtenAs === undefined && 'cause' in read ? read.cause : undefined;
      return this.refuse(node, `${path}: the file ${read.refusal}.`, cause);
    }
    // editors end a file with a line end, which no password has
    const value = read.text.replace(/\r?\n$/, '');
    return { kind: 'value', place: node.place, value, writtenAs: '[file]' };
  }

  /** Said here, so that the option counts as not given. */
  private refuse(node: ConfigNode, complaint: string, cause?: unknown): ConfigNode {
    this.problems.add(node.place, complaint, cause);
    return { kind: 'broken', place: node.place, complaint };
  }
}

function isPlugIn(keys: readonly string[]): boolean {
  return isAt(PLUG_INS, keys) || isPolicy(keys);
}

function isMadeByBus(keys: readonly string[]): boolean {
  return isAt(MADE_BY_THE_BUS, keys) || isPolicy(keys);
}

/** They may be within each other, as items and as those of a chain. */
function isPolicy([first, second, ...inner]: readonly string[]): boolean {
  return first === 'startup' && second === 'policy' && inner.every((key) => key === '*' || key === 'policies');
}

function isAt(patterns: readonly string[], keys: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const words = pattern.split('.');
    return words.length === keys.length && words.every((word, index) => word === '*' || word === keys[index]);
  });
}

/** A class is made, a function with arguments is called, and anything else is taken as it is. */
async function make(exported: unknown, args: readonly unknown[] | undefined, isMadeByBus: boolean): Promise<unknown> {
  if (typeof exported !== 'function') {
    if (args === undefined) return exported;
    throw new ConfigurationError(NOT_CALLABLE);
  }
  const callable = exported as Callable;
  if (!isClass(callable)) return args === undefined ? callable : callable(...args);
  if (args === undefined && isMadeByBus) return callable;
  return Reflect.construct(callable, args ?? []) as unknown;
}

async function importFrom(from: string, specifier: string): Promise<Readonly<Record<string, unknown>>> {
  if (specifier.startsWith('file:')) return import(specifier);
  if (specifier.startsWith('.') || isAbsolute(specifier)) {
    return import(pathToFileURL(resolve(dirname(from), specifier)).href);
  }
  try {
    return await import(specifier);
  } catch (error) {
    if ((error as { readonly code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    // a package of the application that this library cannot see from where it is installed
    return import(pathToFileURL(createRequire(from).resolve(specifier)).href);
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
