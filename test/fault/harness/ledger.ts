import { closeSync, existsSync, openSync, readSync, writeSync } from 'node:fs';

/**
 * A file to which one process appends lines. A process that is killed takes nothing along of what it has written: the
 * line is with the system when `write` returns.
 */
export class Ledger {
  private readonly file: number;
  private buffered = '';
  private isFlushing = false;

  constructor(path: string) {
    this.file = openSync(path, 'a');
  }

  /** On record when this returns. */
  write(line: string): void {
    writeSync(this.file, `${line}\n`);
  }

  /** On record soon: for what may be missing without anyone believing too much. */
  note(line: string): void {
    this.buffered += `${line}\n`;
    if (this.isFlushing) return;
    this.isFlushing = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.isFlushing = false;
    const text = this.buffered;
    this.buffered = '';
    if (text !== '') writeSync(this.file, text);
  }

  close(): void {
    this.flush();
    closeSync(this.file);
  }
}

const CHUNK = 1_048_576;

/** Reads the lines that have been added since it last read. The writer may still write, or have been killed. */
export class LedgerReader {
  private file: number | undefined;
  private readonly chunk = Buffer.allocUnsafe(CHUNK);
  private rest = '';

  constructor(private readonly path: string) {}

  read(onLine: (line: string) => void): void {
    if (this.file === undefined && !existsSync(this.path)) return;
    this.file ??= openSync(this.path, 'r');
    for (;;) {
      const bytes = readSync(this.file, this.chunk, 0, CHUNK, null);
      if (bytes === 0) return;
      const lines = (this.rest + this.chunk.toString('latin1', 0, bytes)).split('\n');
      // without its end a line is not on record yet
      this.rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    }
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }
}
