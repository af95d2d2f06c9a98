import { stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigurationError } from '../core/errors.js';
import { ConfigEvaluator, type EvaluationContext } from './config-evaluator.js';
import { CONFIG_LIMITS } from './config-limits.js';
import { type ConfigNode, merge } from './config-node.js';
import { propertyPath } from './config-path.js';
import type { ConfigProblems } from './config-problems.js';
import { ConfigSource, readText, shownPath } from './config-source.js';
import { parseSyntax } from './config-syntax.js';

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
    const source = await this.source(path);
    if (source === undefined) throw new ConfigurationError(`${shownPath(path)}: there is no such file.`);
    const base = await this.file(source, '', [path]);
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
    const source = await this.source(overlay);
    return source && ((await this.file(source, '', [overlay])) ?? 'broken');
  }

  private async source(path: string): Promise<ConfigSource | undefined> {
    this.files++;
    if (this.files > CONFIG_LIMITS.files) {
      throw new ConfigurationError(`${shownPath(path)}: more than ${CONFIG_LIMITS.files} files are read for one bus.`);
    }
    const text = await readText(path);
    return text === undefined ? undefined : new ConfigSource(path, text);
  }

  /** @param chain the files that import one another, this one last */
  private async file(source: ConfigSource, path: string, chain: readonly string[]): Promise<ConfigNode | undefined> {
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

  private async import(target: ConfigNode, at: string, chain: readonly string[]): Promise<ConfigNode | undefined> {
    const { place } = target;
    const refuse = (text: string): undefined => {
      this.problems.add(place, text);
      return undefined;
    };
    const option = propertyPath(at, '[import]');
    if (target.kind === 'broken') return refuse(target.complaint);
    if (target.kind !== 'value' || typeof target.value !== 'string' || target.value === '') {
      return refuse(`${option} must be the path of a file, or an array of them.`);
    }
    const path = resolve(dirname(place.source.path), target.value);
    const shown = [...chain, path].map(shownPath).join(' -> ');
    if (chain.includes(path)) return refuse(`${option} goes round in a circle: ${shown}.`);
    if (chain.length >= CONFIG_LIMITS.importDepth) {
      return refuse(`${option} goes more than ${CONFIG_LIMITS.importDepth} files deep.`);
    }
    const source = await this.source(path);
    if (source === undefined) {
      return refuse(`${option} names a file that is not there${target.isFromVariable ? '' : `: ${shownPath(path)}`}.`);
    }
    return this.file(source, at, [...chain, path]);
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
