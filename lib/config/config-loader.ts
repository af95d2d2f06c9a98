import type { BusLogger } from '../core/logger.js';
import { ConfigModules } from './config-modules.js';
import { allBroken, toValue } from './config-node.js';
import { ConfigProblems } from './config-problems.js';
import { ConfigReader, type ReaderSettings } from './config-reader.js';
import { expandRetries } from './config-retries.js';
import { type LegacyParts, withoutLegacy } from './legacy-config.js';

export interface LoaderSettings extends ReaderSettings {
  /** What is wrong with options; each complaint begins with the path of the option that it is about. */
  check(options: Readonly<Record<string, unknown>>): Promise<readonly string[]>;
  logger(context: string | undefined): BusLogger;
}

/**
 * Reads a configuration, and checks all of it.
 *
 * @throws ConfigurationError with everything that is wrong, each with its file and line
 */
export async function loadConfig(
  target: string | URL,
  settings: LoaderSettings,
): Promise<Readonly<Record<string, unknown>>> {
  const problems = new ConfigProblems();
  const read = await new ConfigReader(settings, problems).read(target);
  if (read?.kind !== 'object') {
    problems.throwIfAny();
    return {};
  }
  const warnings: string[] = [];
  const parts: LegacyParts = {
    problems,
    warn: (text) => void warnings.push(text),
    logger: (context) => settings.logger(context),
  };
  const translated = expandRetries(withoutLegacy(read, parts), problems);
  const root = await new ConfigModules(problems).load(translated);
  for (const { place, complaint } of allBroken(root)) problems.add(place, complaint);
  const options = toValue(root) as Readonly<Record<string, unknown>>;
  for (const complaint of await settings.check(options)) problems.addAbout(root, complaint);
  problems.throwIfAny();
  for (const warning of warnings) settings.logger(undefined).warn(warning);
  return options;
}
