import { ConfigurationError } from '../core/errors.js';
import type { ConfigSource, Place } from './config-source.js';

interface Problem extends Place {
  readonly text: string;
}

/** Collects what is wrong, to be told all at once. Never given the value of a variable. */
export class ConfigProblems {
  private readonly found: Problem[] = [];
  private cause: unknown;

  /** @param cause what a module threw; the first one is kept */
  add({ source, offset }: Place, text: string, cause?: unknown): void {
    this.found.push({ source, offset, text: `${source.lineAt(offset)}: ${text}` });
    this.cause ??= cause;
  }

  /** With the column, where the line alone does not say what is meant. */
  addSyntax({ source, offset }: Place, text: string): void {
    this.found.push({ source, offset, text: `${source.columnAt(offset)}: ${text}` });
  }

  /** @throws ConfigurationError with what is wrong, file by file, from top to bottom */
  throwIfAny(): void {
    if (this.found.length === 0) return;
    const files: readonly ConfigSource[] = [...new Set(this.found.map(({ source }) => source))];
    const sorted = this.found.toSorted(
      (a, b) => files.indexOf(a.source) - files.indexOf(b.source) || a.offset - b.offset,
    );
    const texts = new Set(sorted.map(({ text }) => text));
    throw new ConfigurationError([...texts], this.cause === undefined ? {} : { cause: this.cause });
  }
}
