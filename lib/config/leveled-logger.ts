import type { BusLogger } from '../core/logger.js';

const SEVERITY = Object.freeze({ debug: 0, log: 1, warn: 2, error: 3, none: 4 });

export type LogLevel = keyof typeof SEVERITY;

/** Leaves out what is less severe than a level. */
export class LeveledLogger implements BusLogger {
  constructor(
    private readonly logger: BusLogger,
    private readonly level: LogLevel,
  ) {}

  debug(message: string): void {
    if (this.passes('debug')) this.logger.debug?.(message);
  }

  log(message: string): void {
    if (this.passes('log')) this.logger.log(message);
  }

  warn(message: string): void {
    if (this.passes('warn')) this.logger.warn(message);
  }

  error(message: string, stack?: string): void {
    if (this.passes('error')) this.logger.error(message, stack);
  }

  private passes(level: LogLevel): boolean {
    return SEVERITY[level] >= SEVERITY[this.level];
  }
}
