import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a service in a process of its own has fared. */
export interface Fate {
  /** 0 when it ended by itself; a process that crashed has another, one that had to be killed none. */
  readonly code: number | null;
  /** What it has come to: handled, status, closed. */
  readonly steps: readonly string[];
  readonly stderr: string;
}

/** Runs the service against a broker, for `ms` at most. */
export function runService(url: string, aftermathMs: number, ms: number): Promise<Fate> {
  const path = fileURLToPath(new URL('./fake-broker.program.ts', import.meta.url));
  const env = { ...process.env, NODE_OPTIONS: '', FAKE_BROKER_URL: url, AFTERMATH_MS: String(aftermathMs) };
  return new Promise((resolve) => {
    const options = { env, timeout: ms, killSignal: 'SIGKILL' } as const;
    const child = execFile(
      process.execPath,
      ['--import', '@oxc-node/core/register', path],
      options,
      (_, out, stderr) => {
        resolve({ code: child.exitCode, steps: out.split('\n').filter(Boolean), stderr });
      },
    );
  });
}
