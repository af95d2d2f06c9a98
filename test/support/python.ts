import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Log } from '../../lib/testing/contract/log.js';
import { bounded, WAIT_MS } from '../../lib/testing/contract/until.js';
import { PYTHON } from './brokers.js';

/** A first import compiles the package. */
const START_MS = 20_000;

export interface PythonProgram {
  /** What it has written so far, line by line. */
  readonly lines: Log<string>;
  /** Resolves when it has ended well; it is killed when it takes longer. */
  ended(ms?: number): Promise<readonly string[]>;
}

/** A program of test/interop, with `input` as its standard input. */
export function python(url: string, program: string, args: readonly string[], input = ''): PythonProgram {
  const path = fileURLToPath(new URL(`../interop/${program}.py`, import.meta.url));
  const child = spawn(PYTHON, [path, ...args], {
    env: { ...process.env, AMQP_URL: url, PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: 'pipe',
  });
  const lines = new Log<string>(`lines of ${program}.py`);
  let [rest, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.add(part);
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => undefined); // it ended early: its exit code says why
  child.stdin.end(input);
  const exit = new Promise<void>((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => {
      if (code === 0) return resolve();
      const error = new Error(`${program}.py ended with ${signal ?? code}: ${stderr}`);
      lines.fail(error);
      reject(error);
    });
  });
  exit.catch(() => undefined); // whoever waits for it is told
  return {
    lines,
    ended: async (ms = START_MS + WAIT_MS) => {
      try {
        await bounded(exit, ms, `${program}.py`);
        return lines.items;
      } finally {
        child.kill('SIGKILL');
      }
    },
  };
}
