import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LedgerReader } from './ledger.js';

/** What a publisher says of itself when it has stopped. */
export interface PublisherEnd {
  readonly sent: number;
  readonly confirmed: number;
  readonly rejected: number;
  /** Publishes that had not settled by their timeout + 1 s. */
  readonly pending: number;
  /** Publishes that settled, but later than their timeout + 1 s. */
  readonly late: number;
  readonly slowestMs: number;
}

/**
 * All ledgers of one proof, added up. One line is one fact:
 *
 *     r <publisher> <n>   numbers up to n may have been published    c <id>         confirmed
 *     f <id> <code>       rejected, with the code of the error       e <json>       a publisher has stopped
 *     b <id> <attempt>    a handler was called                       h <id> <ms>    it has succeeded, when
 *     x <id> <attempt>    it threw, on purpose                       u <text>       an unhandled rejection
 *     w <name>            a warning of Node                          l <level> <text>   a line of the bus's log
 */
export class LedgerBook {
  readonly folder = mkdtempSync(join(tmpdir(), 'ledgers-'));
  readonly confirmed = new Set<string>();
  /** How often a handler has succeeded, by id. */
  readonly handled = new Map<string, number>();
  /** How often a handler was called, by id. */
  readonly calls = new Map<string, number>();
  readonly rejected = new Map<string, number>();
  readonly ends: PublisherEnd[] = [];
  readonly unhandledRejections: string[] = [];
  readonly warnings: string[] = [];
  /** What buses have logged, of those programs that write it down. */
  readonly logs: string[] = [];
  /** Handled successfully, copies included. */
  handlings = 0;
  /** Handler calls of all, whatever came of them. */
  runs = 0;
  thrown = 0;
  lastHandledAt = 0;
  private readonly reserved = new Map<string, number>();
  private readonly readers: LedgerReader[] = [];
  private count = 0;

  /** A ledger for one more process. */
  open(name: string): string {
    const path = join(this.folder, `${name}-${++this.count}.ledger`);
    this.readers.push(new LedgerReader(path));
    return path;
  }

  read(): this {
    for (const reader of this.readers) reader.read((line) => this.enter(line));
    return this;
  }

  /** Ids that may have been published. */
  readonly sent = {
    has: (id: string): boolean => {
      const dash = id.lastIndexOf('-');
      return Number(id.slice(dash + 1)) <= (this.reserved.get(id.slice(0, dash)) ?? -1);
    },
  };

  /** Publishers that have begun to publish. */
  get begun(): number {
    return this.reserved.size;
  }

  /** Of what is confirmed, what has not been handled yet. */
  get unhandled(): number {
    let left = 0;
    for (const id of this.confirmed) if (!this.handled.has(id)) left++;
    return left;
  }

  dispose(): void {
    for (const reader of this.readers) reader.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private enter(line: string): void {
    const [kind = '', first = '', second = ''] = line.split(' ', 3);
    switch (kind) {
      case 'r':
        this.reserved.set(first, Number(second));
        break;
      case 'c':
        this.confirmed.add(first);
        break;
      case 'f':
        this.rejected.set(second, (this.rejected.get(second) ?? 0) + 1);
        break;
      case 'b':
        this.runs++;
        this.calls.set(first, (this.calls.get(first) ?? 0) + 1);
        break;
      case 'h':
        this.handled.set(first, (this.handled.get(first) ?? 0) + 1);
        this.handlings++;
        this.lastHandledAt = Number(second);
        break;
      case 'x':
        this.thrown++;
        break;
      case 'e':
        this.ends.push(JSON.parse(line.slice(2)) as PublisherEnd);
        break;
      case 'u':
        this.unhandledRejections.push(line.slice(2));
        break;
      case 'w':
        this.warnings.push(first);
        break;
      case 'l':
        this.logs.push(line.slice(2));
        break;
      default:
        throw new Error(`A ledger has a line that nobody wrote: ${line}`);
    }
  }
}
