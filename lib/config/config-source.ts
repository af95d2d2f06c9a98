import { open } from 'node:fs/promises';
import { isAbsolute, relative } from 'node:path';
import { CONFIG_LIMITS } from './config-limits.js';

/** Where something is written. */
export interface Place {
  readonly source: ConfigSource;
  readonly offset: number;
}

/** The text of one file, and how its places are called. */
export class ConfigSource {
  private starts: readonly number[] | undefined;

  /** @param name as complaints call it: from the working directory on, which is what terminals make links of */
  constructor(
    readonly path: string,
    readonly text: string,
    readonly name = shownPath(path),
  ) {}

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
    this.starts ??= [0, ...[...this.text.matchAll(/\r\n|\n|\r/g)].map(({ 0: end, index }) => index + end.length)];
    // the line is the number of starts up to the offset
    let line = 0;
    for (let end = this.starts.length; line < end; ) {
      const middle = (line + end) >> 1;
      if ((this.starts[middle] ?? 0) <= offset) line = middle + 1;
      else end = middle;
    }
    return { line, column: offset - (this.starts[line - 1] ?? 0) + 1 };
  }
}

export function shownPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near === '' || near.startsWith('..') || isAbsolute(near) ? path : near;
}

/** A text, or why there is none, as in "the file is not UTF-8". The cause may show the path. */
export type FileText = { readonly text: string } | { readonly refusal: string; readonly cause?: unknown };

/** The text of a file; undefined when there is no such file. */
export async function readText(path: string): Promise<FileText | undefined> {
  let bytes: Buffer;
  try {
    const file = await open(path);
    try {
      // what is no file may be read for ever
      if (!(await file.stat()).isFile()) return { refusal: 'is not a regular file' };
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
    const { code = 'no reason given' } = error as { readonly code?: string };
    if (code === 'ENOENT') return undefined;
    return { refusal: `cannot be read (${code})`, cause: error };
  }
  if (bytes.length > CONFIG_LIMITS.fileBytes) return { refusal: `is larger than ${CONFIG_LIMITS.fileBytes} bytes` };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    return { refusal: 'is not UTF-8', cause };
  }
}
