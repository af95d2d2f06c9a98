import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError } from '../../../lib/core/errors.js';
import { type LoadEventBusConfigOptions, loadEventBusConfig } from '../../../lib/index.js';
import { RecordingLogger } from './recording.logger.js';

/** A folder with configuration files, which is gone after `using`. */
export class ConfigFolder implements Disposable {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'event-bus-config-')));
  readonly logger = new RecordingLogger();

  constructor(files: Readonly<Record<string, string | Uint8Array>>) {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.path, name), text);
  }

  /** The options of `event-bus.jsonc`, of a process that has no variables. */
  load(options: LoadEventBusConfigOptions = {}, file = 'event-bus.jsonc'): ReturnType<typeof loadEventBusConfig> {
    return loadEventBusConfig(join(this.path, file), { env: {}, logger: this.logger, ...options });
  }

  /** What is wrong, without the path of the folder. */
  async problems(options: LoadEventBusConfigOptions = {}, file?: string): Promise<readonly string[]> {
    try {
      await this.load(options, file);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      return error.problems.map((problem) => problem.replaceAll(`${this.path}/`, ''));
    }
    throw new Error('Expected it to be refused.');
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}
