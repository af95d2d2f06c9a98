import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { attacks } from './attacks.proof.js';
import { bombs } from './bombs.proof.js';
import { crashes } from './crashes.proof.js';
import { delays } from './delays.proof.js';
import { deploys } from './deploys.proof.js';
import { fuzz } from './fuzz.proof.js';
import { kills } from './kills.proof.js';
import { leaks } from './leaks.proof.js';
import { mutation } from './mutation.proof.js';
import { poison } from './poison.proof.js';
import { readReports, withProofs } from './promises.js';
import type { Figures, Proof } from './proof.js';
import { recovery } from './recovery.proof.js';
import { rename } from './rename.proof.js';
import { replay } from './replay.proof.js';
import { resets } from './resets.proof.js';
import { sigterms } from './sigterms.proof.js';
import { soak } from './soak.proof.js';
import { workers } from './workers.proof.js';

const PROOFS: readonly Proof[] = [
  kills,
  recovery,
  resets,
  workers,
  crashes,
  sigterms,
  delays,
  poison,
  replay,
  deploys,
  rename,
  attacks,
  bombs,
  fuzz,
  leaks,
  mutation,
  soak,
];

/** @returns whether every bar was cleared */
export async function prove(root: string, args: readonly string[]): Promise<boolean> {
  const short = args.includes('--short');
  const names = args.filter((argument) => !argument.startsWith('--'));
  const unknown = names.filter((name) => !PROOFS.some((proof) => proof.name === name));
  if (unknown.length > 0)
    throw new Error(`No proof ${unknown.join(', ')}; there are ${PROOFS.map((p) => p.name).join(', ')}.`);
  const folder = short ? mkdtempSync(join(tmpdir(), 'prove-')) : join(root, 'test/prove/results');
  mkdirSync(folder, { recursive: true });
  let isKept = true;
  for (const proof of PROOFS) {
    if (names.length > 0 && !names.includes(proof.name)) continue;
    isKept = (await proveOne(root, proof, short, folder)) && isKept;
    if (!short) renewReadme(root, folder);
  }
  return isKept;
}

/** What was measured; with a star when there were changes that no commit has. */
function commit(root: string): string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--', 'lib') === '' ? '' : '*'}`;
}

function renewReadme(root: string, folder: string): void {
  const path = join(root, 'README.md');
  writeFileSync(path, withProofs(readFileSync(path, 'utf8'), readReports(folder)));
}

async function proveOne(root: string, proof: Proof, short: boolean, folder: string): Promise<boolean> {
  const { name, promise, limits } = proof;
  const began = Date.now();
  // now, for a long run outlives commits
  const measured = commit(root);
  const log = (line: string): void => {
    console.log(`${((Date.now() - began) / 1_000).toFixed(1).padStart(7)} s  ${line}`);
  };
  console.log(`\n${name}${short ? ' (short)' : ''}: ${promise}`);
  let outcome: Figures;
  try {
    outcome = await proof.run({ short, log });
  } catch (error) {
    console.log(`  FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    return false;
  }
  const { figures, bars, broker, series } = outcome;
  const report = {
    name,
    promise,
    figures,
    bars,
    limits,
    command: `npm run prove -- ${name}${short ? ' --short' : ''}`,
    ...(broker !== undefined && { broker }),
    node: process.version,
    commit: measured,
    cores: availableParallelism(),
    date: new Date(began).toISOString(),
    durationS: Math.round((Date.now() - began) / 1_000),
    ...(series && { series }),
  };
  const path = join(folder, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
  for (const [figure, value] of Object.entries(figures)) console.log(`  ${figure.padEnd(36)} ${value}`);
  for (const [bar, { value, rule, limit, ok }] of Object.entries(bars)) {
    console.log(`  ${ok ? 'ok    ' : 'FAILED'} ${bar.padEnd(36)} ${value} ${rule} ${limit}`);
  }
  console.log(`  → ${path}`);
  return Object.values(bars).every(({ ok }) => ok);
}
