import { BusClosedError, type BusLogger, type EventBusService } from '../../../lib/index.js';
import { Ledger } from '../harness/ledger.js';

export interface ProgramSettings {
  readonly url: string;
  readonly ledger: string;
  readonly group: string;
  readonly exchange: string;
}

export interface WorkerSettings extends ProgramSettings {
  readonly prefetch: number;
  readonly concurrency: number;
  /** How long each handling takes. */
  readonly handlerMs: number;
  /** One of so many events fails at its first attempt; 0 for none. */
  readonly failOneOf?: number;
  /** Of its retry policy. Default 5. */
  readonly attempts?: number;
  /** `false`: consumes when it is told to `go`. */
  readonly autoStart?: boolean;
  readonly deadlineMs?: number;
}

export interface PublisherSettings extends ProgramSettings {
  /** Begins the ids; unlike that of every other publisher. */
  readonly publisher: string;
  /** Loops that each publish, wait for the outcome, and publish again. */
  readonly publishers: number;
  readonly window: number;
  readonly timeoutMs: number;
  /** How long a loop rests after each. */
  readonly pauseMs?: number;
  readonly bytes?: number;
  readonly deadlineMs?: number;
  /** Published to in turn. Default: `work.do` alone. */
  readonly topics?: readonly string[];
  /** What nobody gets counts as rejected, whatever this says. Default `reject`. */
  readonly unroutable?: 'reject' | 'warn';
}

/** A retry as short as the retries of tests are. */
export const RETRY_MS = 100;

export function readSettings<T extends ProgramSettings>(): T {
  const { PROGRAM_SETTINGS } = process.env;
  if (PROGRAM_SETTINGS === undefined) throw new Error('PROGRAM_SETTINGS is missing: start this from the harness.');
  return JSON.parse(PROGRAM_SETTINGS) as T;
}

/** Opens the ledger of this process, and writes down in it what nobody has caught. */
export function openLedger(path: string): Ledger {
  const ledger = new Ledger(path);
  const text = (reason: unknown): string => String(reason instanceof Error ? reason.stack : reason);
  process.on('unhandledRejection', (reason) => ledger.write(`u ${text(reason).replaceAll('\n', ' | ')}`));
  process.on('warning', ({ name }) => ledger.write(`w ${name}`));
  process.on('exit', () => ledger.flush());
  // whoever started it is gone
  process.on('disconnect', () => process.exit(1));
  return ledger;
}

/** Has what a bus logs on record, as `l` lines. */
export function ledgerLogger(ledger: Ledger): BusLogger {
  const write = (level: string) => (text: string) => ledger.note(`l ${level} ${String(text).replaceAll('\n', ' | ')}`);
  return { log: write('log'), warn: write('warn'), error: write('error') };
}

/** Begins to consume; that it has been told to end before it could is no failure. */
export async function go(bus: EventBusService): Promise<void> {
  try {
    await bus.start();
  } catch (error) {
    if (!(error instanceof BusClosedError)) throw error;
  }
}
