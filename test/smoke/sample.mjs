// Runs the scenario of the shop, or one of the small samples, once: `node test/smoke/sample.mjs memory|rabbitmq [name]`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LIMIT_MS = 60_000;
const SHOP = [/ready/, /demo finished/, /dead letter/i];
const EXPECTED = {
  headers: [/blueprint/],
  unroutable: [/312 NO_ROUTE/],
  config: [/mistakes\.jsonc:3/],
  python: [/dead letter: orders.shipped, undecodable/],
  rpc: [/the handler: aborted/, /code OUT_OF_STOCK/, /its stream has ended, after 2\d of 1000/],
  rendezvous: [/its lease has ended/, /missing: worker, 2 of 3/],
};
const URLS = { memory: undefined, rabbitmq: 'amqp://guest:guest@127.0.0.1:5672' };

const [broker, name] = process.argv.slice(2);
if (!Object.hasOwn(URLS, broker ?? '') || (name !== undefined && !Object.hasOwn(EXPECTED, name))) {
  console.error(
    `usage: node test/smoke/sample.mjs ${Object.keys(URLS).join('|')} [${Object.keys(EXPECTED).join('|')}]`,
  );
  process.exit(2);
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const env = { ...process.env, PORT: '0', SAMPLE_EXIT: '1' };
delete env.EVENT_BUS_URL;
if (URLS[broker]) env.EVENT_BUS_URL = URLS[broker];

const posix = process.platform !== 'win32';
// Its own process group, so that the application behind npm ends with it; npm is a .cmd file on Windows.
const child = spawn(name === undefined ? 'npm start' : `npm run sample -- ${name}`, {
  cwd: root,
  env,
  shell: true,
  detached: posix,
  stdio: ['ignore', 'pipe', 'inherit'],
});

function killAll() {
  try {
    if (posix) process.kill(-child.pid, 'SIGKILL');
    else child.kill();
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // it has ended meanwhile
  }
}

let timedOut = false;
const timer = setTimeout(() => {
  timedOut = true;
  killAll();
}, LIMIT_MS);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    killAll();
    process.exit(1);
  });
}

let output = '';
child.stdout.setEncoding('utf8').on('data', (text) => {
  output += text;
  process.stdout.write(text);
});
const [code, signal] = await once(child, 'close');
clearTimeout(timer);

const problems = [];
if (timedOut) problems.push(`did not end within ${LIMIT_MS / 1000} s`);
else if (code !== 0) problems.push(`ended with ${signal ?? `exit code ${code}`}`);
const lines = output.split(/\r?\n/);
for (const pattern of name === undefined ? SHOP : [/sample finished/, ...EXPECTED[name]]) {
  if (!lines.some((line) => pattern.test(line))) problems.push(`printed no line that matches ${pattern}`);
}
for (const problem of problems) console.error(`sample ${name ?? 'shop'} on ${broker}: ${problem}`);
if (problems.length === 0) console.log(`sample ${name ?? 'shop'} on ${broker}: passed`);
process.exitCode = problems.length === 0 ? 0 : 1;
