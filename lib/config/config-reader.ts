import { stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigurationError } from '../core/errors.js';
import { ConfigEvaluator, type EvaluationContext } from './config-evaluator.js';
import { CONFIG_LIMITS } from './config-limits.js';
import { type ConfigNode, merge } from './config-node.js';
import { propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';
import { ConfigSource, type FileText, readText, shownPath } from './config-source.js';
import { parseSyntax } from './config-syntax.js';

type Refused = Extract<FileText, { readonly refusal: string }>;

const CONFIG_FILE = 'event-bus.jsonc';

export interface ReaderSettings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the overlay; none when empty. */
  readonly environment: string;
}

/** Reads a configuration: its file, what that imports, and the overlay of the environment. */
export class ConfigReader {
  private files = 0;
  private values = 0;

  constructor(
    private readonly settings: ReaderSettings,
    private readonly problems: ConfigProblems,
  ) {}

  /**
   * @returns undefined when a file cannot be understood, which `problems` says
   * @throws ConfigurationError when a file cannot be read
   */
  async read(target: string | URL): Promise<ConfigNode | undefined> {
    const path = await fileOf(target);
    const source = await this.source(path, shownPath(path));
    if (source === undefined) throw new ConfigurationError(`${shownPath(path)}: there is no such file.`);
    if ('refusal' in source) throw new ConfigurationError(`${shownPath(path)}: ${source.refusal}.`, source);
    const base = await this.file(source, '', [source]);
    const overlay = await this.overlay(path);
    if (base === undefined || overlay === 'broken') return undefined;
    return overlay === undefined ? base : merge(base, overlay);
  }

  private async overlay(path: string): Promise<ConfigNode | undefined | 'broken'> {
    const { environment } = this.settings;
    if (environment === '') return undefined;
    if (!/^[\w-]{1,64}$/.test(environment)) {
      throw new ConfigurationError('environment (NODE_ENV, unless given) must be 1 to 64 letters, digits or _ -');
    }
    const ending = extname(path);
    const overlay = `${path.slice(0, path.length - ending.length)}.${environment}${ending}`;
    const source = await this.source(overlay, shownPath(overlay));
    if (source === undefined) return undefined;
    if (!('refusal' in source)) return (await this.file(source, '', [source])) ?? 'broken';
    this.problems.addFile(new ConfigSource(overlay, ''), `${source.refusal}.`, source.cause);
    return undefined;
  }

  private async source(path: string, name: string): Promise<ConfigSource | Refused | undefined> {
    this.files++;
    if (this.files > CONFIG_LIMITS.files) {
      return { refusal: `is one too many; at most ${CONFIG_LIMITS.files} are read for one bus` };
    }
    const read = await readText(path);
    return read && ('refusal' in read ? read : new ConfigSource(path, read.text, name));
  }

  /** @param chain the files that import one another, this one last */
  private async file(
    source: ConfigSource,
    path: string,
    chain: readonly ConfigSource[],
  ): Promise<ConfigNode | undefined> {
    const syntax = await parseSyntax(source, this.problems);
    if (syntax === undefined) return undefined;
    if (syntax.root.type !== 'object') {
      this.problems.add({ source, offset: syntax.root.offset }, 'a configuration must be an object.');
      return undefined;
    }
    const context: EvaluationContext = {
      env: this.settings.env,
      problems: this.problems,
      countValue: () => ++this.values <= CONFIG_LIMITS.values,
      importFile: (target, at) => this.import(target, at, chain),
    };
    return new ConfigEvaluator(source, syntax, context).evaluate(path);
  }

  private async import(
    target: ConfigNode,
    at: string,
    chain: readonly ConfigSource[],
  ): Promise<ConfigNode | undefined> {
    const { place, writtenAs } = target;
    const refuse = (text: string, cause?: unknown): undefined => {
      this.problems.add(place, text, cause);
      return undefined;
    };
    const option = propertyPath(at, '[import]');
    if (target.kind === 'broken') return refuse(target.complaint);
    if (target.kind !== 'value' || typeof target.value !== 'string' || target.value === '') {
      return refuse(`${option} must be the path of a file, or an array of them.`);
    }
    const path = resolve(dirname(place.source.path), target.value);
    // a name that a variable has a part in is called as it is written
    const isHidden = place.source.name !== shownPath(place.source.path);
    const name = writtenAs ?? (isHidden ? target.value : shownPath(path));
    const same = chain.find((outer) => outer.path === path);
    if (same) {
      const names = [...chain, same].map((outer) => outer.name);
      return refuse(`${option} goes round in a circle: ${names.join(' -> ')}.`);
    }
    if (chain.length >= CONFIG_LIMITS.importDepth) {
      return refuse(`${option} goes more than ${CONFIG_LIMITS.importDepth} files deep.`);
    }
    if (this.files > CONFIG_LIMITS.files) return undefined; // which has been said
    const source = (await this.source(path, name)) ?? { refusal: 'is not there' };
    if (!('refusal' in source)) return this.file(source, at, [...chain, source]);
    if (writtenAs !== undefined) return refuse(`${option} names a file that ${source.refusal}.`);
    return refuse(`${option} names a file that ${source.refusal}: ${name}.`, source.cause);
  }
}

async function fileOf(target: string | URL): Promise<string> {
  if (target instanceof URL && target.protocol !== 'file:') {
    throw new ConfigurationError('A configuration is loaded from a path or a file: URL.');
  }
  if (typeof target !== 'string' && !(target instanceof URL)) {
    throw new ConfigurationError('loadEventBusConfig() needs the path of a file or folder.');
  }
  const path = resolve(target instanceof URL ? fileURLToPath(target) : target);
  const isFolder = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false, // what is wrong with it is said when it is read
  );
  return isFolder ? join(path, CONFIG_FILE) : path;
}
