// The contract and end-to-end specs on Nest 11: `npm run test:nest11 [-- jest options]`.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

function run(command, args, options) {
  const { error, status, signal } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw error;
  if (status !== 0) {
    console.error(`${command} ${args.join(' ')} ended with ${signal ?? `exit code ${status}`}`);
    process.exit(status ?? 1);
  }
}

// A shell, because npm is a .cmd file on Windows. The working folder, not --prefix, so that the path needs no quotes.
run('npm ci --no-audit --no-fund', [], { cwd: here, shell: true });
run(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
    'test/contract',
    'test/e2e',
    ...process.argv.slice(2),
  ],
  { env: { ...process.env, NEST: '11' } },
);
