// npm run prove                      every proof in full (hours)
// npm run prove -- kills resets     some of them
// npm run prove -- kills --short    small counts; nothing is written to results/
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// A long run starts programs until its end; what is compiled meanwhile must not change them.
const compiled = fileURLToPath(new URL('../..', import.meta.url));
let root = dirname(compiled);
while (!existsSync(join(root, 'package.json'))) root = dirname(root);
const copy = join(compiled, 'runs', String(process.pid));
mkdirSync(copy, { recursive: true });
for (const part of ['lib', 'test']) cpSync(join(compiled, part), join(copy, part), { recursive: true });
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

const { prove } = (await import(join(copy, 'test/prove/prove.js'))) as typeof import('./prove.js');
process.exit((await prove(root, process.argv.slice(2))) ? 0 : 1);
