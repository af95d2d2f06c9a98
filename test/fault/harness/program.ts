import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bounded } from '../../../lib/testing/contract/until.js';
import type { Exit } from './bound-process.js';

/** What programs tell by IPC: a kind, and what belongs to it. */
export interface ProgramMessage {
  readonly kind: string;
  readonly [field: string]: unknown;
}

export type ProgramName =
  | 'publisher'
  | 'answerer'
  | 'worker'
  | 'service'
  | 'soak'
  | 'leaks'
  | 'crasher'
  | 'delays'
  | 'poison'
  | 'operator'
  | 'deployed'
  | 'renamed';

const READY_MS = 60_000;
const OUTPUT_LINES = 20;
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program of ../programs in a process of its own, which ends when this one does. */
export class Program {
  readonly exit: Promise<Exit>;
  readonly ready: Promise<void>;
  /** Whoever kills it says so first: any other end of it is an error. */
  isDoomed = false;
  private readonly listeners = new Set<(message: ProgramMessage) => void>();
  private output = '';
  private ended: Exit | undefined;

  private constructor(
    readonly name: ProgramName,
    private readonly child: ChildProcess,
  ) {
    running.add(child);
    this.exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        running.delete(child);
        this.ended = { code, signal };
        resolve(this.ended);
      });
    });
    const keep = (chunk: Buffer): void => {
      this.output = (this.output + chunk.toString()).split('\n').slice(-OUTPUT_LINES).join('\n');
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('message', (message) => {
      for (const listener of [...this.listeners]) listener(message as ProgramMessage);
    });
    this.ready = this.next('ready', READY_MS).then(() => undefined);
    this.ready.catch(() => undefined);
  }

  /** As TypeScript or compiled, as this file itself is. */
  static start(name: ProgramName, settings: object, execArgv: readonly string[] = []): Program {
    const here = import.meta.url;
    const isSource = here.endsWith('.ts');
    const path = fileURLToPath(new URL(`../programs/${name}.${isSource ? 'ts' : 'js'}`, here));
    const loader = isSource ? ['--import', '@oxc-node/core/register'] : [];
    const child = spawn(process.execPath, [...execArgv, ...loader, path], {
      env: { ...process.env, NODE_OPTIONS: '', PROGRAM_SETTINGS: JSON.stringify(settings) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    return new Program(name, child);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get isRunning(): boolean {
    return this.ended === undefined;
  }

  /** Listens from now on; what it says is longer than what `describe` keeps of it. @returns whether it was heard */
  listensFor(text: string): () => boolean {
    let isHeard = false;
    const hear = (chunk: Buffer): void => {
      isHeard ||= chunk.includes(text);
    };
    this.child.stdout?.on('data', hear);
    this.child.stderr?.on('data', hear);
    return () => isHeard;
  }

  send(message: ProgramMessage): void {
    if (this.child.connected) this.child.send(message);
  }

  listen(listener: (message: ProgramMessage) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The next message of that kind; rejects when the program ends first. */
  async next(kind: string, ms: number): Promise<ProgramMessage> {
    let unlisten: () => void = () => undefined;
    const message = new Promise<ProgramMessage>((resolve, reject) => {
      unlisten = this.listen((m) => {
        if (m.kind === kind) resolve(m);
      });
      void this.exit.then(() => reject(new Error(this.describe(`ended before "${kind}"`))));
    });
    try {
      return await bounded(message, ms, `"${kind}" of ${this.name}`);
    } catch (error) {
      throw new Error(this.describe(`waited for "${kind}": ${String(error)}`), { cause: error });
    } finally {
      unlisten();
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.isDoomed = true;
    this.child.kill('SIGKILL');
    await this.exit;
  }

  /** SIGTERM, as a platform does at each deploy. @returns how it ended, and after how long */
  async terminate(ms: number): Promise<Exit & { readonly ms: number }> {
    this.isDoomed = true;
    const began = performance.now();
    this.child.kill('SIGTERM');
    try {
      const exit = await bounded(this.exit, ms, this.describe('SIGTERM'));
      return { ...exit, ms: performance.now() - began };
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  describe(what: string): string {
    const { code, signal } = this.ended ?? {};
    const end = this.ended ? ` (code ${code ?? '–'}, signal ${signal ?? '–'})` : '';
    return `${this.name} ${this.pid}: ${what}${end}\n${this.output}`;
  }
}
