import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Linux only: the kernel kills the child when its parent is gone, however that ended. */
const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();
let isHooked = false;

/** A process that never outlives this one. Its pid is that of the command: whatever starts it on the way execs. */
export class BoundProcess {
  readonly exit: Promise<Exit>;
  private hasEnded = false;

  private constructor(private readonly child: ChildProcess) {
    running.add(child);
    this.exit = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        this.hasEnded = true;
        running.delete(child);
        resolve({ code, signal });
      });
    });
    this.exit.catch(() => undefined);
  }

  static spawn(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    output: 'ignore' | number,
  ): BoundProcess {
    if (!isHooked) {
      isHooked = true;
      process.on('exit', () => {
        for (const child of running) child.kill('SIGKILL');
      });
    }
    const [file, ...rest] = SETPRIV ? [SETPRIV, '--pdeathsig', 'KILL', command, ...args] : [command, ...args];
    return new BoundProcess(spawn(file as string, rest, { env, stdio: ['ignore', output, output] }));
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get isRunning(): boolean {
    return !this.hasEnded && this.child.pid !== undefined;
  }

  /** To this process by its own pid, never by name. */
  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exit;
  }
}
