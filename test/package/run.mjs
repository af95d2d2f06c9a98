// Installs the packed library into empty projects and uses it there: `node test/package/run.mjs`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const readJson = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));
const { devDependencies } = readJson(root, 'package.json');
const nest11 = readJson(root, 'test', 'nest-11', 'package.json').dependencies;

const NEST = ['@nestjs/common', '@nestjs/core'];
const MICROSERVICES = '@nestjs/microservices';
const nestOf = (versions) => Object.fromEntries([...NEST, MICROSERVICES].map((name) => [name, versions[name]]));

/** The versions that our other tests use. */
const PROJECTS = { 'Nest 11': nestOf(nest11), 'Nest 12': nestOf(devDependencies) };

/** Whether the command succeeded. npm needs a shell: it is a .cmd file on Windows. */
function succeeds(command, args, options) {
  const { error, status } = spawnSync(command, args, { stdio: 'inherit', timeout: 180_000, ...options });
  if (error) console.error(error.message);
  return status === 0;
}

function testProject(title, folder, tarball, { [MICROSERVICES]: microservices, ...nest }) {
  mkdirSync(folder);
  const { 'reflect-metadata': metadata, rxjs } = devDependencies;
  const dependencies = { ...nest, 'reflect-metadata': metadata, rxjs, 'nestjs-event-bus': `file:${tarball}` };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, dependencies }));
  for (const name of ['consumer.mjs', 'microservices.mjs']) copyFileSync(join(here, name), join(folder, name));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  writeFileSync(join(folder, 'types.mts'), TYPES);
  if (!succeeds('npm install --no-audit --no-fund', [], { cwd: folder, shell: true })) {
    return [`${title}: npm install`];
  }
  const failuresOf = (script) =>
    ['esm', 'cjs']
      .filter((format) => !succeeds(process.execPath, [script, format], { cwd: folder, timeout: 60_000 }))
      .map((format) => `${script} ${format}`);
  // the optional peer comes afterwards: the library must do without it
  const broken = failuresOf('consumer.mjs');
  const addition = `npm install --no-audit --no-fund ${MICROSERVICES}@${microservices}`;
  if (succeeds(addition, [], { cwd: folder, shell: true })) broken.push(...failuresOf('microservices.mjs'));
  else broken.push(addition);
  if (
    !succeeds(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc6'), '-p', '.'], { cwd: folder })
  )
    broken.push('types, without skipLibCheck');
  return broken.map((what) => `${title}: ${what}`);
}

const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  },
  files: ['types.mts'],
};
const TYPES = `import { EventBusModule, EventBusService } from 'nestjs-event-bus';
import { EventBusClient, EventBusServer } from 'nestjs-event-bus/microservices';
import { CONTRACT_CASES, EventBusTestHarness, eventBusMatchers } from 'nestjs-event-bus/testing';
export const all: readonly unknown[] = [
  EventBusModule.forRoot(), EventBusService, EventBusClient, EventBusServer, CONTRACT_CASES,
  EventBusTestHarness, eventBusMatchers,
];
`;

const work = mkdtempSync(join(tmpdir(), 'nestjs-event-bus-package-'));
const failed = [];
try {
  if (succeeds('npm pack --loglevel=warn --pack-destination', [`"${work}"`], { cwd: root, shell: true })) {
    const tarball = join(
      work,
      readdirSync(work).find((name) => name.endsWith('.tgz')),
    );
    for (const [title, nest] of Object.entries(PROJECTS)) {
      console.log(`${title}:`);
      failed.push(...testProject(title, join(work, title.replace(' ', '-').toLowerCase()), tarball, nest));
    }
  } else failed.push('npm pack');
} finally {
  rmSync(work, { recursive: true, force: true });
}
for (const what of failed) console.error(`failed: ${what}`);
console.log(failed.length === 0 ? 'packed library: passed' : 'packed library: failed');
process.exitCode = failed.length === 0 ? 0 : 1;
