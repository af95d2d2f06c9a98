import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The first Python that has pika: Debian's package is for the system's own, `pip install pika` for the one in PATH. */
function findPython(): string | undefined {
  const candidates = [process.env.PYTHON, 'python3', '/usr/bin/python3'].filter((one) => one !== undefined);
  return candidates.find((python) => spawnSync(python, ['-c', 'import pika']).status === 0);
}

/** warehouse.py as a process, with what it says in our output. */
export class Warehouse {
  /** Resolves when its queue is bound. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, rejects when it has failed. */
  readonly ended: Promise<void>;
  private readonly child: ChildProcessByStdio<null, Readable, null>;

  /** @returns undefined when there is no Python with pika */
  static start(url: string): Warehouse | undefined {
    const python = findPython();
    return python === undefined ? undefined : new Warehouse(python, url);
  }

  private constructor(python: string, url: string) {
    this.child = spawn(python, [fileURLToPath(new URL('./warehouse.py', import.meta.url))], {
      env: { ...process.env, EVENT_BUS_URL: url, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject).on('close', (code) => {
        if (code === 0) resolve();
        else reject(new Error(`warehouse.py ended with exit code ${code}`));
      });
    });
    this.ended.catch(() => undefined); // whoever waits for it is told
    const lines = createInterface(this.child.stdout);
    const isBound = new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        console.log(`  python ${line}`);
        if (line === 'ready') resolve();
      });
    });
    this.ready = Promise.race([isBound, this.ended]);
  }

  stop(): void {
    this.child.kill();
  }
}
