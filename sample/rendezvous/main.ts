import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { filter, firstValueFrom, type Observable, timeout } from 'rxjs';
import {
  EventBusModule,
  EventBusService,
  type Member,
  type MembershipChange,
  RendezvousService,
  RendezvousTimeoutError,
} from '../../lib/index.js';
import { benchOptions, RunTest, URL_OF_BROKER } from './bench.js';
import { removeBench } from './cleaning.js';
import { Crew } from './crew.js';

const namespace = `sample-${randomUUID().slice(0, 8)}`;

/** The controller: has no handlers of its own, and three workers in processes of their own. */
@Module({
  imports: [EventBusModule.forRoot({ ...benchOptions(namespace, 'controller'), startup: { timeoutMs: 10_000 } })],
})
class ControllerModule {}

const nameOf = ({ roles }: Member): string => roles.at(-1) ?? '';
const namesOf = (members: readonly Member[]): string => members.map(nameOf).toSorted().join(', ');

const stopped = new AbortController();
const { signal } = stopped;
for (const name of ['SIGINT', 'SIGTERM'])
  process.once(name, () => stopped.abort(new Error(`The sample was ended by ${name}.`)));

const app = await NestFactory.createApplicationContext(ControllerModule, { logger: ['error', 'fatal'] });
const bus = app.get(EventBusService);
const rendezvous = app.get(RendezvousService);
const crew = new Crew(namespace);

function next(isIt: (change: MembershipChange) => boolean): Promise<MembershipChange> {
  const changes: Observable<MembershipChange> = rendezvous.changes();
  return firstValueFrom(changes.pipe(filter(isIt), timeout(20_000)));
}

async function runTests(tests: readonly string[]): Promise<number> {
  const commands = tests.map((test) => new RunTest(test));
  const outcomes = await bus.requestAll(commands, { concurrency: 3, timeoutMs: 20_000, signal });
  signal.throwIfAborted();
  for (const [at, outcome] of outcomes.entries()) {
    const told = outcome.status === 'fulfilled' ? `passed on ${outcome.value.by}` : `failed: ${String(outcome.reason)}`;
    console.log(`    ${tests[at]?.padEnd(10)} ${told}`);
  }
  return outcomes.filter(({ status }) => status === 'fulfilled').length;
}

async function story(): Promise<void> {
  rendezvous.changes().subscribe({
    next: ({ kind, member, members }) =>
      console.log(`  ${kind}: ${nameOf(member)} (${member.roles.join(', ')}); ${members.length} there`),
    error: (error: unknown) => stopped.abort(error),
  });

  console.log('1. Three workers start, one after the other; each says so when it is ready');
  crew.start('worker-1', { roles: ['worker'] });
  crew.start('worker-2', { roles: ['worker', 'db-main'], startDelayMs: 400 });
  crew.start('worker-3', { roles: ['worker'], startDelayMs: 800 });
  const ready = await rendezvous.waitUntilReady({ worker: 3, 'db-*': 1 }, { timeoutMs: 30_000, signal });
  console.log(`  all are ready: ${namesOf(ready)}`);

  console.log('2. They have waited for the controller, and begin when it says that it is there');
  await rendezvous.announceReady(['controller']);

  console.log('3. Six tests, three at a time, each for whoever has nothing to do; the outcomes keep their order');
  const passed = await runTests(['login', 'search', 'checkout', 'invoices', 'mails', 'logout']);

  console.log('4. One broadcast, which every worker gets');
  const clean = await bus.record<{ readonly by: string }>('bench.clean');
  await bus.broadcast('bench.reset', {});
  const told: string[] = [];
  while (told.length < 3) told.push((await clean.get({ timeoutMs: 10_000, signal })).payload.by);
  await clean.close();
  console.log(`  clean: ${told.toSorted().join(', ')}`);

  console.log('5. worker-2 is killed, and cannot say goodbye');
  const expired = next(({ kind, member }) => kind === 'expired' && nameOf(member) === 'worker-2');
  const killedAt = Date.now();
  crew.kill('worker-2');
  await expired;
  console.log(`  nothing heard of it: its lease has ended, ${((Date.now() - killedAt) / 1_000).toFixed(1)} s later`);
  const missing = await rendezvous.waitUntilReady({ worker: 3, 'db-*': 1 }, { timeoutMs: 500, signal }).then(
    () => [],
    (error: unknown) => {
      if (!(error instanceof RendezvousTimeoutError)) throw error;
      return error.missing;
    },
  );
  for (const { pattern, wanted, found } of missing) console.log(`  missing: ${pattern}, ${found} of ${wanted}`);

  console.log('6. Another one takes its place');
  crew.start('worker-4', { roles: ['worker', 'db-main'] });
  const again = await rendezvous.waitUntilReady({ worker: 3, 'db-*': 1 }, { timeoutMs: 30_000, signal });
  console.log(`  all are ready: ${namesOf(again)}`);
  const passedAgain = await runTests(['login', 'search', 'logout']);

  console.log('7. The controller withdraws, and the workers are asked to stop: they leave at once');
  await rendezvous.withdraw();
  const empty = next(({ members }) => members.length === 0);
  await crew.stop();
  const { kind } = await empty;

  const seen = `${namesOf(ready)} | ${passed} | ${told.length} | ${missing.length} | ${namesOf(again)} | ${passedAgain} | ${kind}`;
  const expected = 'worker-1, worker-2, worker-3 | 5 | 3 | 2 | worker-1, worker-3, worker-4 | 3 | left';
  if (seen !== expected) throw new Error(`Expected ${expected}; got ${seen}.`);
  console.log('sample finished');
}

try {
  await story();
} catch (error) {
  console.error('The sample failed:', error);
  process.exitCode = 1;
} finally {
  await crew.stop(); // no process is left, whatever happened
  await app.close();
  await removeBench(URL_OF_BROKER, namespace);
}
