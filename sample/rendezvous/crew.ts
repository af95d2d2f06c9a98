import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const STOP_MS = 10_000;

export interface WorkerOptions {
  readonly roles: readonly string[];
  readonly startDelayMs?: number;
}

/** The worker processes, with what they say in our output. */
export class Crew {
  private readonly running = new Map<string, ChildProcess>();

  constructor(private readonly namespace: string) {}

  start(name: string, { roles, startDelayMs = 0 }: WorkerOptions): void {
    const child = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), {
      env: {
        ...process.env,
        NAMESPACE: this.namespace,
        NAME: name,
        ROLES: [...roles, name].join(),
        START_DELAY_MS: String(startDelayMs),
      },
      // with `ipc` it notices when this process ends, however that happens
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    if (child.stdout) createInterface(child.stdout).on('line', (line) => console.log(`    ${name} ${line}`));
    this.running.set(name, child);
    const forget = (): void => void this.running.delete(name);
    child.once('exit', forget).once('error', forget);
  }

  /** As when its machine loses its power. */
  kill(name: string): void {
    this.running.get(name)?.kill('SIGKILL');
  }

  /** Asks all of them to end, and waits until they have. */
  async stop(): Promise<void> {
    await Promise.all([...this.running.values()].map(end));
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
