import assert from 'node:assert/strict';
import { FanoutExchange } from '../../exchanges/fanout.exchange.js';
import type { Member } from '../../rendezvous/member.js';
import { RendezvousService } from '../../rendezvous/rendezvous.service.js';
import type { TestApp } from './app.bench.js';
import type { ContractCase } from './contract.js';
import { busCase } from './contract-case.js';
import { Log } from './log.js';
import { createMessage } from './message.factory.js';
import { quiet, until } from './until.js';

const SOON = { timeoutMs: 5_000 };

/** Another instance: in the same process, but nobody can tell. */
function another({ bus, exchange }: TestApp, service = 'other', leaseMs = 15_000): RendezvousService {
  const { control } = bus;
  const logger = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const isPrepared = (): boolean => true;
  return new RendezvousService({
    control,
    service,
    main: exchange,
    leaseMs,
    startupTimeoutMs: 5_000,
    isPrepared,
    logger,
  });
}

const rolesOf = (members: readonly Member[]): readonly string[] =>
  members.flatMap(({ service, roles }) => roles.map((role) => `${service} ${role}`)).toSorted();

/** Published by a client that knows nothing of this library. */
async function publishRaw(app: TestApp, where: 'control' | 'main', body: unknown): Promise<void> {
  const { exchange, transport } = app;
  const name = where === 'main' ? exchange.name : `${exchange.name}.control`;
  const handler = where === 'main' ? exchange.handler : new FanoutExchange();
  const topic = where === 'main' ? 'sys.rendezvous.ready' : '';
  const raw = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const message = { ...createMessage(topic, { body: raw }), type: '', contentType: '' };
  await transport.publish({ kind: 'exchange', exchange: { name, handler } }, message);
}

/** A `ready` as another client sends it. */
const announcement = (id: string, ...roles: readonly string[]): Readonly<Record<string, unknown>> => ({
  kind: 'ready',
  roles,
  instance_id: id,
  ts: Date.now() / 1_000 + 0.123,
});

/** Instances find each other. */
export const RENDEZVOUS_CASES: readonly ContractCase[] = [
  busCase('rendezvous: who has announced itself before is found, and who comes later', async (bench) => {
    const app = await bench.start();
    const [worker, db, waiter] = [another(app, 'worker'), another(app, 'db'), another(app, 'waiter')];
    await worker.announceReady(['worker']);
    const both = waiter.waitUntilReady({ worker: 1, db: 1 }, SOON);
    assert.deepEqual(rolesOf(await waiter.waitUntilReady({ worker: 1 }, SOON)), ['worker worker']);
    await db.announceReady(['db']);
    assert.deepEqual(rolesOf(await both), ['db db', 'worker worker']);
  }),

  busCase('rendezvous: the service of the module counts itself, and waits for itself', async (bench) => {
    const { app, service } = await bench.start();
    const rendezvous = app.get(RendezvousService);
    const waiting = rendezvous.waitUntilReady({ api: 1 }, SOON);
    await rendezvous.announceReady(['api', 'api', 'api.v2']);
    const [self, ...others] = await waiting;
    assert.deepEqual([self?.service, self?.roles, others], [service, ['api', 'api.v2'], []]);
    assert.ok(Math.abs(Date.now() - (self?.since ?? 0)) < 10_000);
    assert.deepEqual(rendezvous.members(), [self]);
  }),

  busCase('rendezvous: instances are counted, not announcements; one counts for several patterns', async (bench) => {
    const app = await bench.start();
    const [one, two, waiter] = [another(app, 'one'), another(app, 'two'), another(app, 'waiter')];
    for (let times = 0; times < 3; times++) await one.announceReady(['worker.images.large', 'db']);
    const error = await waiter.waitUntilReady({ 'worker.*': 2 }, { timeoutMs: 400 }).catch((e: unknown) => e);
    assert.deepEqual((error as { missing?: unknown }).missing, [{ pattern: 'worker.*', wanted: 2, found: 1 }]);
    const met = waiter.waitUntilReady({ 'worker.*': 2, 'worker.i*': 1, 'd?': 1, '*': 2 }, SOON);
    await two.announceReady(['worker.mail']);
    assert.equal((await met).length, 2);
    const caseOf = waiter.waitUntilReady({ 'WORKER.*': 1 }, { timeoutMs: 200 });
    await assert.rejects(caseOf, { name: 'RendezvousTimeoutError' });
  }),

  busCase('rendezvous: a timeout says who is missing, and who is there', async (bench) => {
    const app = await bench.start();
    const [worker, waiter] = [another(app, 'images'), another(app, 'waiter')];
    await worker.announceReady(['worker.images']);
    const error = await waiter.waitUntilReady({ 'worker.*': 2, db: 1 }, { timeoutMs: 400 }).then(
      () => undefined,
      (e: unknown) => e as Error & { code?: string; missing?: unknown; retryable?: boolean },
    );
    assert.deepEqual(
      [error?.name, error?.code, error?.retryable],
      ['RendezvousTimeoutError', 'RENDEZVOUS_TIMEOUT', true],
    );
    assert.deepEqual(error?.missing, [
      { pattern: 'worker.*', wanted: 2, found: 1 },
      { pattern: 'db', wanted: 1, found: 0 },
    ]);
    assert.match(
      error?.message ?? '',
      /400 ms, missing: "worker\.\*" \(1 of 2\), "db" \(0 of 1\)\. Ready: images\/[\w-]{8} \(worker\.images\)\./,
    );
  }),

  busCase('rendezvous: who takes it back is not found any more, and comes again', async (bench) => {
    const app = await bench.start();
    const [worker, waiter] = [another(app, 'worker'), another(app, 'waiter')];
    const changes = new Log<string>('changes');
    waiter
      .changes()
      .subscribe(({ kind, member, members }) => changes.add(`${kind} ${String(member.roles)} ${members.length}`));
    // from when it ends, everything is heard
    await assert.rejects(waiter.waitUntilReady({ x: 1 }, { timeoutMs: 500 }), { name: 'RendezvousTimeoutError' });
    await worker.announceReady(['worker']);
    await waiter.waitUntilReady({ worker: 1 }, SOON);
    await worker.announceReady(['idle']);
    await changes.reach(2);
    await worker.withdraw();
    await worker.withdraw();
    assert.deepEqual(await changes.settle(3), ['joined worker 1', 'changed idle 1', 'left idle 0']);
    await assert.rejects(another(app).waitUntilReady({ '*': 1 }, { timeoutMs: 300 }), {
      name: 'RendezvousTimeoutError',
    });
    await worker.announceReady(['worker']);
    assert.equal((await waiter.waitUntilReady({ worker: 1 }, SOON)).length, 1);
  }),

  busCase('rendezvous: who waits anew learns of everybody anew, however many wait', async (bench) => {
    const app = await bench.start();
    await another(app, 'worker').announceReady(['worker']);
    const waiters = Array.from({ length: 8 }, (_, n) => another(app, `waiter ${n}`));
    for (let times = 0; times < 2; times++) {
      const met = await Promise.all(waiters.map((waiter) => waiter.waitUntilReady({ worker: 1 }, SOON)));
      assert.deepEqual(
        met.map(rolesOf),
        waiters.map(() => ['worker worker']),
      );
    }
  }),

  busCase('rendezvous: who says nothing for longer than its lease is gone; who lives stays', async (bench) => {
    const app = await bench.start();
    const [alive, waiter] = [another(app, 'alive', 1_000), another(app, 'waiter')];
    const changes = new Log<string>('changes');
    waiter.changes().subscribe(({ kind, member }) => changes.add(`${kind} ${member.instanceId.slice(0, 4)}`));
    await alive.announceReady(['worker']);
    await waiter.waitUntilReady({ worker: 1 }, SOON);
    await publishRaw(app, 'control', { ...announcement('dead', 'worker'), lease_ms: 1_000 });
    await waiter.waitUntilReady({ worker: 2 }, SOON);
    const began = Date.now();
    await changes.reach(3);
    assert.equal(changes.items[2], 'expired dead');
    assert.ok(Date.now() - began >= 800, 'not before its lease has ended');
    await quiet(1_500);
    assert.deepEqual([changes.length, rolesOf(waiter.members())], [3, ['alive worker']]);
  }),

  busCase(
    'rendezvous: other clients say it on the control exchange, or under a topic of the main one',
    async (bench) => {
      const app = await bench.start();
      const waiter = another(app);
      const met = waiter.waitUntilReady({ 'python.*': 2 }, SOON);
      await until('it listens', async () => {
        for (const [where, id] of [
          ['control', 'a'],
          ['main', 'b'],
        ] as const)
          await publishRaw(app, where, announcement(id.repeat(32), `python.${where}`));
        return (await Promise.race([met, quiet(30)])) !== undefined;
      });
      assert.deepEqual(rolesOf(await met), [' python.control', ' python.main']);
    },
  ),

  busCase('rendezvous: forged messages change nothing', async (bench) => {
    const app = await bench.start();
    const { app: nest, lines } = app;
    const rendezvous = nest.get(RendezvousService);
    await rendezvous.announceReady(['api']);
    const [self] = await rendezvous.waitUntilReady({ api: 1 }, SOON);
    const own = self?.instanceId ?? '';
    const { length } = lines;
    const forged: readonly unknown[] = [
      announcement(own, 'admin'),
      { kind: 'rendezvous.left', instance_id: own, ts: 1 },
      { ...announcement('x'), roles: 'worker' },
      { ...announcement('x'), roles: [1] },
      { ...announcement('x'), roles: Array.from({ length: 65 }, (_, n) => `r${n}`) },
      { ...announcement('x'), roles: ['r'.repeat(129)] },
      announcement('i'.repeat(129), 'worker'),
      { ...announcement('x', 'worker'), instance_id: { toString: 1 } },
      Buffer.from('{"kind":"ready","instance_id":"x","roles":["worker"],"__proto__":{"roles":["admin"]}}'),
      Buffer.from(`{"kind":"ready","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}`),
      Buffer.alloc(100_000, 'x'),
      { kind: 'nonsense', instance_id: 'x' },
      ['ready'],
    ];
    for (const body of forged) await publishRaw(app, 'control', body);
    for (const lease of [-1, 0, 1e300, null, 'for ever'])
      await publishRaw(app, 'control', {
        ...announcement(`lease ${lease}`, 'worker'),
        lease_ms: lease,
        since: -1,
        service: 7,
      });
    assert.equal((await rendezvous.waitUntilReady({ worker: 5 }, SOON)).length, 5);
    assert.deepEqual(rolesOf(await rendezvous.waitUntilReady({ api: 1 }, SOON)), [`${self?.service} api`]);
    const warnings = lines.slice(length).filter((line) => line.startsWith('warn '));
    assert.equal(warnings.length, 3, warnings.join('\n'));
  }),

  busCase(
    'rendezvous: two applications meet, and one that stops is gone at once',
    async (bench) => {
      const [one, two] = [await bench.start(), await bench.start()];
      const [a, b] = [one.app.get(RendezvousService), two.app.get(RendezvousService)];
      await Promise.all([a.announceReady(['a']), b.announceReady(['b'])]);
      const met = await Promise.all([a, b].map((each) => each.waitUntilReady({ a: 1, b: 1 }, SOON)));
      assert.deepEqual(
        met.map(({ length }) => length),
        [2, 2],
      );
      const left = new Log<string>('changes');
      a.changes().subscribe(({ kind, member }) => left.add(`${kind} ${String(member.roles)}`));
      await two.app.close();
      assert.deepEqual(await left.settle(1), ['left b']);
    },
    'shared',
  ),
];
