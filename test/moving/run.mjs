// Moves a queue from @golevelup/nestjs-rabbitmq (Nest 11) to this library, step by step: `npm run test:moving`.
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

function run(command, args, options) {
  const { error, status, signal } = spawnSync(command, args, { stdio: 'inherit', timeout: 180_000, ...options });
  if (error) throw error;
  if (status !== 0) {
    console.error(`${command} ${args.join(' ')} ended with ${signal ?? `exit code ${status}`}`);
    process.exit(status ?? 1);
  }
}

if (spawnSync(process.execPath, [join(root, '.ci', 'amqp-answers.mjs')], { stdio: 'ignore' }).status !== 0) {
  const missing = 'RabbitMQ does not answer on 127.0.0.1:5672';
  if (process.env.REQUIRE_BROKERS === '1') {
    console.error(`${missing}, and REQUIRE_BROKERS=1 asks for it.`);
    process.exit(1);
  }
  console.log(`SKIPPED moving from @golevelup/nestjs-rabbitmq: ${missing}.`);
  process.exit(0);
}

// A shell, because npm is a .cmd file on Windows.
run('npm run build --silent', [], { cwd: root, shell: true });
run('npm ci --no-audit --no-fund', [], { cwd: here, shell: true });
// A copy, so that it finds the Nest of this folder and not the one of the root.
const installed = join(here, 'node_modules', 'nestjs-event-bus');
for (const part of ['dist', 'package.json']) cpSync(join(root, part), join(installed, part), { recursive: true });
run(process.execPath, ['steps.mjs'], { cwd: here, timeout: 120_000 });
