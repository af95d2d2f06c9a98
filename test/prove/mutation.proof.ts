import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { atLeast, type Figures, type Proof, type ProofOptions } from './proof.js';

type Status =
  | 'Killed'
  | 'Timeout'
  | 'Survived'
  | 'NoCoverage'
  | 'RuntimeError'
  | 'CompileError'
  | 'Ignored'
  | 'Pending';

/** The part of Stryker's report that is used. */
interface MutationReport {
  readonly files: Readonly<Record<string, { readonly mutants: readonly { readonly status: Status }[] }>>;
}

const REPORT = '.stryker/report.json';
const SHORT = 'lib/core/retry-policy.ts,lib/bus/concurrency.ts';

/** Runs Stryker as it is configured. */
async function mutate(options: readonly string[], log: (line: string) => void): Promise<MutationReport> {
  const child = spawn(
    process.execPath,
    [
      '--experimental-vm-modules',
      'node_modules/@stryker-mutator/core/bin/stryker.js',
      'run',
      '--reporters',
      'json,progress-append-only',
      ...options,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const stop = (): boolean => child.kill();
  process.once('exit', stop);
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  let said = 0;
  for await (const line of createInterface(child.stdout)) {
    // it tells of its progress many times a minute
    if (line.startsWith('Mutation testing') && Date.now() - said < 60_000) continue;
    said = Date.now();
    log(line);
  }
  const code = await ended;
  process.off('exit', stop);
  if (code !== 0) throw new Error(`Stryker ended with code ${code}.`);
  return JSON.parse(readFileSync(REPORT, 'utf8')) as MutationReport;
}

async function run({ short, log }: ProofOptions): Promise<Figures> {
  const { files } = await mutate(short ? ['--mutate', SHORT] : [], log);
  const mutants = Object.values(files).flatMap((file) => file.mutants);
  const count = (...statuses: readonly Status[]): number => mutants.filter((m) => statuses.includes(m.status)).length;
  const detected = count('Killed', 'Timeout');
  const valid = detected + count('Survived', 'NoCoverage');
  const score = Math.round((detected / valid) * 10_000) / 100;
  return {
    broker: undefined,
    figures: {
      'score (%)': score,
      killed: count('Killed'),
      survived: count('Survived'),
      timeout: count('Timeout'),
      'no coverage': count('NoCoverage'),
      'cannot run': count('RuntimeError', 'CompileError'),
      'ignored (run once, while a module loads)': count('Ignored'),
      files: Object.keys(files).length,
    },
    bars: {
      'mutation score (%)': atLeast(score, 80),
      mutants: atLeast(valid, short ? 30 : 2_000),
    },
  };
}

export const mutation: Proof = {
  name: 'mutation',
  promise: 'The specs notice when the rules that all transports share are changed.',
  limits:
    'lib/core and lib/bus, judged by unit specs alone. A change that no spec notices may still change nothing; what runs once while a module loads is not judged.',
  run,
};
