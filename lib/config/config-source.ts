import { open } from 'node:fs/promises';
import { isAbsolute, relative } from 'node:path';
import { ConfigurationError } from '../core/errors.js';
import { CONFIG_LIMITS } from './config-limits.js';

/** Where something is written. */
export interface Place {
  readonly source: ConfigSource;
  readonly offset: number;
}

/** The text of one file, and how its places are called. */
export class ConfigSource {
  /** As complaints call it: from the working directory on, which is what terminals make links of. */
  readonly name: string;

  constructor(
    readonly path: string,
    readonly text: string,
  ) {
    this.name = shownPath(path);
  }

  /** `file:line` of an offset. */
  lineAt(offset: number): string {
    return `${this.name}:${this.position(offset).line}`;
  }

  /** `file:line:column` of an offset. */
  columnAt(offset: number): string {
    const { line, column } = this.position(offset);
    return `${this.name}:${line}:${column}`;
  }

  position(offset: number): { readonly line: number; readonly column: number } {
    const before = this.text.slice(0, offset).split(/\r\n|\n|\r/);
    return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
  }
}

export function shownPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near === '' || near.startsWith('..') || isAbsolute(near) ? path : near;
}

/**
 * The text of a file.
 *
 * @returns undefined when there is no such file
 * @throws ConfigurationError when it cannot be read, is no file, is too large, or is not UTF-8
 */
export async function readText(path: string): Promise<string | undefined> {
  const refuse = (what: string, cause?: unknown): ConfigurationError =>
    new ConfigurationError(`${shownPath(path)}: ${what}`, { cause });
  let bytes: Buffer;
  try {
    const file = await open(path);
    try {
      // what is no file may be read for ever
      if (!(await file.stat()).isFile()) throw refuse('is not a file.');
      const buffer = Buffer.alloc(CONFIG_LIMITS.fileBytes + 1);
      let length = 0;
      for (let read = -1; read !== 0 && length < buffer.length; length += read) {
        ({ bytesRead: read } = await file.read(buffer, length, buffer.length - length));
      }
      bytes = buffer.subarray(0, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    const { code = 'no reason given' } = error as { readonly code?: string };
    if (code === 'ENOENT') return undefined;
    throw refuse(`cannot be read (${code}).`, error);
  }
  if (bytes.length > CONFIG_LIMITS.fileBytes) throw refuse(`is larger than ${CONFIG_LIMITS.fileBytes} bytes.`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refuse('is not UTF-8.', cause);
  }
}
