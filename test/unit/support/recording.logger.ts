import type { BusLogger } from '../../../lib/core/logger.js';

/** Keeps every line as `level: text`. */
export class RecordingLogger implements BusLogger {
  readonly lines: string[] = [];

  log(message: string): void {
    this.lines.push(`log: ${message}`);
  }

  warn(message: string): void {
    this.lines.push(`warn: ${message}`);
  }

  error(message: string): void {
    this.lines.push(`error: ${message}`);
  }
}
