import { ConfigurationError } from '../core/errors.js';
import { aboutOf } from './config-complaint.js';
import { CONFIG_LIMITS } from './config-limits.js';
import { type BrokenNode, brokenIn, type ConfigNode } from './config-node.js';
import type { ConfigSource, Place } from './config-source.js';

interface Problem extends Place {
  readonly text: string;
  readonly precision: 'file' | 'line' | 'column';
}

/** Collects what is wrong, to be told all at once, and keeps the values of variables out of it. */
export class ConfigProblems {
  private readonly found: Problem[] = [];
  private cause: unknown;

  /** @param cause what a module threw; the first one is kept */
  add({ source, offset }: Place, text: string, cause?: unknown): void {
    this.found.push({ source, offset, text, precision: 'line' });
    this.cause ??= cause;
  }

  /**
   * A complaint of a check, which begins with the path of what it is about.
   *
   * @param root what was checked
   * @param from where in the complaint the path of `root` ends
   * @returns what was added, as something that could not be known
   */
  addAbout(root: ConfigNode, complaint: string, from = 0): BrokenNode {
    const { node, text } = aboutOf(root, complaint, from);
    // that it is missing, or has parts missing, is because something else is wrong, which is said
    const inner = node === root ? undefined : brokenIn(node);
    if (inner) return inner;
    const told = node.alias === undefined ? text : `${node.alias}: ${text}`;
    this.add(node.place, told);
    return { kind: 'broken', place: node.place, complaint: told };
  }

  /** With the column, where the line alone does not say what is meant. */
  addSyntax({ source, offset }: Place, text: string): void {
    this.found.push({ source, offset, text, precision: 'column' });
  }

  /** About the whole of a file. */
  addFile(source: ConfigSource, text: string, cause?: unknown): void {
    this.found.push({ source, offset: 0, text, precision: 'file' });
    this.cause ??= cause;
  }

  /** @throws ConfigurationError with what is wrong, file by file, from top to bottom */
  throwIfAny(): void {
    if (this.found.length === 0) return;
    const files = new Map([...new Set(this.found.map(({ source }) => source))].map((source, index) => [source, index]));
    const order = ({ source }: Problem): number => files.get(source) ?? 0;
    const sorted = this.found.toSorted((a, b) => order(a) - order(b) || a.offset - b.offset);
    const texts = [...new Set(sorted.map(shown))];
    const told = texts.slice(0, CONFIG_LIMITS.problems);
    if (texts.length > told.length) told.push(`and ${texts.length - told.length} more.`);
    throw new ConfigurationError(told, this.cause === undefined ? {} : { cause: this.cause });
  }
}

function shown({ source, offset, text, precision }: Problem): string {
  if (precision === 'file') return `${source.name}: ${text}`;
  return `${precision === 'line' ? source.lineAt(offset) : source.columnAt(offset)}: ${text}`;
}
