import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bounded } from '../../lib/testing/contract/until.js';

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Child {
  readonly process: ChildProcess;
  /** How it ended; it is killed when it takes longer. */
  ended(ms: number): Promise<Ended>;
}

/** A TypeScript program of test/e2e/children in a process of its own; always on the Nest of this package. */
export function start(program: string, env: Readonly<Record<string, string>>): Child {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const path = fileURLToPath(new URL(`../e2e/children/${program}.ts`, import.meta.url));
  const child = spawn(process.execPath, ['--import', '@oxc-node/core/register', path], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  const exit = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return {
    process: child,
    ended: async (ms) => {
      try {
        return await bounded(exit, ms, `${program} did not end: ${stderr}`);
      } finally {
        child.kill('SIGKILL');
      }
    },
  };
}
