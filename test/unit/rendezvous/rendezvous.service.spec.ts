import { describe, expect, it, jest } from '@jest/globals';
import {
  BusClosedError,
  ConfigurationError,
  ConnectionError,
  PublishTimeoutError,
  RendezvousTimeoutError,
  TopologyConflictError,
} from '../../../lib/core/errors.js';
import { RTopicExchange } from '../../../lib/exchanges/rtopic.exchange.js';
import type { EventBusOptions } from '../../../lib/index.js';
import type { MembershipChange } from '../../../lib/rendezvous/member.js';
import { rendezvousOf } from '../../../lib/rendezvous/rendezvous.factory.js';
import { aBus, type FakeParts } from '../support/buses.js';
import { caughtFrom } from '../support/caught.js';
import { deferred } from '../support/deferred.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';

const tick = (ms = 0) => jest.advanceTimersByTimeAsync(ms);
const LEASE_MS = 3_000;

interface SetUp {
  readonly options?: EventBusOptions;
  readonly more?: Partial<FakeParts>;
  readonly isPrepared?: boolean;
}

async function setUp({ options, more, isPrepared = true }: SetUp = {}) {
  const made = aBus({ service: 'app', rendezvous: { leaseMs: LEASE_MS }, ...options }, more);
  const rendezvous = rendezvousOf(made.bus, made.options, made.exchange, made.logger);
  if (isPrepared) await made.bus.prepare([]);
  const { transport } = made;
  const open = () => transport.consumers.filter(({ state }) => state === 'running');
  const hear = (kind: string, body: object, topic = 'control'): void => {
    const message = { topic, type: kind, body: Buffer.from(JSON.stringify(body)) };
    for (const { events } of open()) events.deliver(new FakeDelivery({ message }));
  };
  const ready = (id: string, roles: readonly string[], more: object = {}): void =>
    hear('ready', { instance_id: id, roles, lease_ms: LEASE_MS, ts: 1, ...more });
  const said = () => transport.sent.map(({ message }) => message.type);
  const bodies = () => transport.sent.map(({ message }) => JSON.parse(Buffer.from(message.body).toString()));
  return { ...made, rendezvous, open, hear, ready, said, bodies };
}

const ids = (members: readonly { instanceId: string }[]) => members.map(({ instanceId }) => instanceId);

describe('announcing', () => {
  withFakeTimers();

  it('is confirmed by the broker, and renewed three times as often as the lease ends, by one timer', async () => {
    const { rendezvous, transport, said, bodies } = await setUp();
    const sending = deferred<{ routed: boolean }>();
    transport.publishing = () => sending.promise;
    const announced = rendezvous.announceReady(['worker', 'worker']);
    await tick();
    expect([said(), rendezvous.members()]).toEqual([['ready'], []]);
    transport.publishing = async () => ({ routed: false });
    sending.resolve({ routed: true });
    await announced;
    expect(bodies()[0]).toMatchObject({ kind: 'ready', roles: ['worker'], service: 'app', lease_ms: LEASE_MS });
    await tick(LEASE_MS * 2 + 10);
    expect(said().filter((kind) => kind === 'ready')).toHaveLength(7);
    const times = bodies().map(({ ts }) => ts);
    expect(new Set(times).size).toBe(times.length);
    expect(new Set(bodies().map(({ instance_id }) => instance_id)).size).toBe(1);
    await rendezvous.withdraw();
    await tick(LEASE_MS * 2);
    expect(said().at(-1)).toBe('rendezvous.left');
  });

  it('with other roles takes the place of the former, and keeps its time with the same', async () => {
    const { rendezvous, bodies } = await setUp();
    await rendezvous.announceReady(['a']);
    await tick(100);
    await rendezvous.announceReady(['a']);
    await rendezvous.announceReady(['b']);
    expect(bodies().map(({ roles }) => roles)).toEqual([['a'], ['a'], ['b']]);
    const [first, second, third] = bodies().map(({ since }) => since);
    expect([second - first, Math.round((third - first) * 1_000)]).toEqual([0, 100]);
    expect(rendezvous.members()).toMatchObject([{ roles: ['b'] }]);
    await tick(60_100);
    expect(rendezvous.members()).toMatchObject([{ roles: ['b'] }]);
  });

  it('tells roles apart that look alike', async () => {
    const { rendezvous } = await setUp();
    await rendezvous.announceReady(['a', 'b']);
    await rendezvous.announceReady(['a,b']);
    expect(rendezvous.members()).toMatchObject([{ roles: ['a,b'] }]);
  });

  it.each([
    [[]],
    [['']],
    [[1]],
    [['x'.repeat(129)]],
    ['worker'],
    [undefined],
    [Array.from({ length: 65 }, (_, n) => `r${n}`)],
  ])('refuses %j as roles', async (roles) => {
    const { rendezvous, transport } = await setUp();
    expect(await caughtFrom(rendezvous.announceReady(roles as string[]))).toBeInstanceOf(ConfigurationError);
    expect(transport.consumers).toEqual([]);
  });

  it('that fails leaves nothing behind; of another announcement the former', async () => {
    const { rendezvous, transport, open, bodies } = await setUp();
    transport.publishing = () => Promise.reject(new ConnectionError('away'));
    expect(await caughtFrom(rendezvous.announceReady(['a']))).toBeInstanceOf(ConnectionError);
    expect([open(), rendezvous.members()]).toEqual([[], []]);
    transport.publishing = async () => ({ routed: true });
    await rendezvous.announceReady(['a']);
    transport.publishing = () => Promise.reject(new ConnectionError('away'));
    expect(await caughtFrom(rendezvous.announceReady(['b']))).toBeInstanceOf(ConnectionError);
    transport.publishing = async () => ({ routed: true });
    await tick(LEASE_MS / 3);
    expect(bodies().at(-1)).toMatchObject({ roles: ['a'] });
    expect(rendezvous.members()).toMatchObject([{ roles: ['a'] }]);
  });

  it.each([
    ['the bus closes', 'close', undefined],
    ['the broker does not confirm in time', 'fail', new PublishTimeoutError('control', 10_000, true)],
  ])('that was sent when %s is taken back, for others may have heard it', async (_, how, error) => {
    const { rendezvous, bus, transport, said, open } = await setUp();
    const sending = deferred<{ routed: boolean }>();
    transport.publishing = () => sending.promise;
    const failed = caughtFrom(rendezvous.announceReady(['a']));
    await tick();
    transport.publishing = async () => ({ routed: true });
    const closed = how === 'close' ? bus.close() : undefined;
    sending.reject(error ?? new BusClosedError('publish'));
    expect(await failed).toBeInstanceOf(error?.constructor ?? BusClosedError);
    await closed;
    expect([said(), open()]).toEqual([['ready', 'rendezvous.left'], []]);
  });

  it('that the broker never got is not taken back', async () => {
    const { rendezvous, transport, said } = await setUp();
    transport.publishing = () => Promise.reject(new PublishTimeoutError('control', 10_000, false));
    await caughtFrom(rendezvous.announceReady(['a']));
    expect(said()).toEqual(['ready']);
  });

  it('answers many questions once, after a short while, and none that it has answered since', async () => {
    const { rendezvous, hear, said } = await setUp();
    await rendezvous.announceReady(['a']);
    for (let n = 0; n < 50; n++) hear('rendezvous.query', { instance_id: `q${n}` });
    await tick(19);
    expect(said()).toEqual(['ready']);
    await tick(101);
    expect(said()).toEqual(['ready', 'ready']);
    hear('rendezvous.query', { instance_id: 'q' });
    await rendezvous.announceReady(['b']);
    await tick(200);
    expect(said()).toEqual(['ready', 'ready', 'ready']);
  });

  it('answers its own question as well: those who hear it do not ask', async () => {
    const { rendezvous, hear, said, bodies } = await setUp();
    await rendezvous.announceReady(['a']);
    rendezvous.members();
    await tick(50);
    expect(said()).toEqual(['ready', 'rendezvous.query']);
    hear('rendezvous.query', bodies()[1]);
    await tick(150);
    expect(said()).toEqual(['ready', 'rendezvous.query', 'ready']);
  });

  it('does not answer when it has announced nothing, or has taken it back', async () => {
    const { rendezvous, hear, said } = await setUp();
    rendezvous.changes().subscribe();
    await tick(50);
    hear('rendezvous.query', { instance_id: 'q' });
    await tick(200);
    expect(said()).toEqual(['rendezvous.query']);
    await rendezvous.announceReady(['a']);
    hear('rendezvous.query', { instance_id: 'q' });
    await rendezvous.withdraw();
    await tick(LEASE_MS * 2);
    expect(said()).toEqual(['rendezvous.query', 'ready', 'rendezvous.left']);
  });

  it('says it again, and asks, after a gap', async () => {
    const { rendezvous, open, said } = await setUp();
    await rendezvous.announceReady(['a']);
    open()[0]?.events.gap?.();
    await tick(150);
    expect(said().toSorted()).toEqual(['ready', 'ready', 'rendezvous.query']);
  });

  it('goes on while it cannot be said, one at a time, and warns once', async () => {
    const { rendezvous, transport, logger, said } = await setUp();
    await rendezvous.announceReady(['a']);
    transport.publishing = () => Promise.reject(new ConnectionError('away'));
    await tick(LEASE_MS * 3);
    expect(logger.lines.filter((line) => line.includes('cannot say that it is still ready'))).toHaveLength(1);
    expect(said().length).toBeGreaterThan(8);
    transport.publishing = () => new Promise(() => undefined);
    await tick(LEASE_MS);
    const { length } = said();
    await tick(LEASE_MS * 3);
    expect(said()).toHaveLength(length);
  });

  it('is taken back within a second when the bus closes: a broker that is away must not hold it up', async () => {
    const { rendezvous, bus, transport } = await setUp();
    await rendezvous.announceReady(['a']);
    await bus.close();
    expect(transport.sent.map(({ message, options }) => [message.type, options?.timeoutMs])).toEqual([
      ['ready', 10_000],
      ['rendezvous.left', 1_000],
    ]);
  });

  it('is taken back before the bus has drained', async () => {
    const { rendezvous, bus, said, open } = await setUp();
    await rendezvous.announceReady(['a']);
    await bus.drain();
    expect(said()).toEqual(['ready', 'rendezvous.left']);
    expect(await caughtFrom(rendezvous.announceReady(['a']))).toBeInstanceOf(BusClosedError);
    expect(await caughtFrom(rendezvous.waitUntilReady({ a: 1 }))).toBeInstanceOf(BusClosedError);
    await bus.close();
    await rendezvous.withdraw();
    expect([said().length, open(), rendezvous.members()]).toEqual([2, [], []]);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('waiting', () => {
  withFakeTimers();

  it('listens before it asks, and is over when enough are there', async () => {
    const { rendezvous, transport, ready, said, open } = await setUp();
    const consuming = deferred();
    transport.consuming = consuming.promise;
    const met = rendezvous.waitUntilReady({ 'worker.*': 2 });
    await tick(100);
    expect(said()).toEqual([]);
    consuming.resolve();
    await tick(50);
    expect(said()).toEqual(['rendezvous.query']);
    ready('a', ['worker.1']);
    ready('a', ['worker.1']);
    ready('b', ['db']);
    await tick();
    expect(open()).toHaveLength(1);
    ready('c', ['worker.2']);
    expect(ids(await met)).toEqual(['a', 'c']);
    await tick();
    expect([open(), jest.getTimerCount()]).toEqual([[], 0]);
    expect(rendezvous.members()).toEqual([]);
  });

  it('does not ask what another has just asked', async () => {
    const { rendezvous, hear, said } = await setUp();
    const failed = caughtFrom(rendezvous.waitUntilReady({ a: 1 }, { timeoutMs: 500 }));
    await tick();
    hear('rendezvous.query', { instance_id: 'other' });
    await tick(500);
    expect([await failed, said()]).toEqual([expect.any(RendezvousTimeoutError), []]);
  });

  it('says in time who is missing', async () => {
    const { rendezvous, ready } = await setUp();
    const failed = caughtFrom(rendezvous.waitUntilReady({ 'w*': 2, db: 1 }, { timeoutMs: 1_000 }));
    await tick(100);
    ready('abc', ['w1'], { service: 'images' });
    await tick(900);
    expect(await failed).toMatchObject({
      missing: [
        { pattern: 'w*', wanted: 2, found: 1 },
        { pattern: 'db', wanted: 1, found: 0 },
      ],
      message:
        'Not everybody was ready within 1000 ms, missing: "w*" (1 of 2), "db" (0 of 1). Ready: images/abc (w1). This instance has not announced itself.',
    });
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each([-3_600_000, 3_600_000])('takes its time when the clock is set by %d ms', async (ms) => {
    const { rendezvous, transport } = await setUp();
    const consuming = deferred();
    transport.consuming = consuming.promise;
    const failed = jest.fn();
    rendezvous.waitUntilReady({ a: 1 }, { timeoutMs: 1_000 }).catch(failed);
    await tick(500);
    jest.setSystemTime(Date.now() + ms);
    consuming.resolve();
    await tick(480);
    expect(failed).not.toHaveBeenCalled();
    await tick(30);
    expect(failed).toHaveBeenCalledWith(expect.any(RendezvousTimeoutError));
  });

  it('counts nobody whose lease has ended meanwhile, nor who has left', async () => {
    const { rendezvous, ready, hear } = await setUp();
    const failed = caughtFrom(rendezvous.waitUntilReady({ w: 3 }, { timeoutMs: LEASE_MS + 500 }));
    await tick(100);
    ready('a', ['w']);
    ready('b', ['w']);
    hear('rendezvous.left', { instance_id: 'b' });
    await tick(LEASE_MS + 50);
    ready('c', ['w']);
    await tick(500);
    expect(await failed).toMatchObject({ missing: [{ pattern: 'w', wanted: 3, found: 1 }] });
  });

  it('is refused at once before anybody could come', async () => {
    const { rendezvous, bus } = await setUp({ isPrepared: false });
    for (const call of [rendezvous.waitUntilReady({ a: 1 }), rendezvous.announceReady(['a'])])
      expect((await caughtFrom(call)).message).toMatch(/Do it in onModuleInit or later/);
    expect(rendezvous.members()).toEqual([]);
    await bus.prepare([]);
    await rendezvous.announceReady(['a']);
    await expect(rendezvous.waitUntilReady({ a: 1 })).resolves.toHaveLength(1);
  });

  it.each([[{ timeoutMs: 0 }], [{ timeoutMs: 1.5 }], [{ timeout: 5 }]])('refuses the options %j', async (options) => {
    const { rendezvous } = await setUp();
    expect(await caughtFrom(rendezvous.waitUntilReady({ a: 1 }, options as object))).toBeInstanceOf(ConfigurationError);
  });

  it('ends with its signal, or with the bus', async () => {
    const { rendezvous, bus, open } = await setUp();
    const stop = new AbortController();
    const failures = [
      caughtFrom(rendezvous.waitUntilReady({ a: 1 }, { signal: stop.signal })),
      caughtFrom(rendezvous.waitUntilReady({ a: 1 })),
      caughtFrom(rendezvous.waitUntilReady({ a: 1 }, { signal: AbortSignal.abort(new Error('before')) })),
    ];
    await tick(100);
    stop.abort(new Error('enough'));
    await tick();
    expect(open()).toHaveLength(1);
    await bus.close();
    const [mine, closed, before] = await Promise.all(failures);
    expect([mine?.message, closed?.name, before?.message]).toEqual(['enough', 'BusClosedError', 'before']);
    expect([open(), jest.getTimerCount()]).toEqual([[], 0]);
  });

  it('tells why it could not hear or ask', async () => {
    const { rendezvous, transport } = await setUp();
    const conflict = new TopologyConflictError([{ kind: 'exchange', entity: 'events.control' }]);
    transport.consuming = Promise.reject(conflict);
    expect(await caughtFrom(rendezvous.waitUntilReady({ a: 1 }))).toBe(conflict);
    transport.consuming = new Promise(() => undefined);
    const unheard = caughtFrom(rendezvous.waitUntilReady({ a: 1 }, { timeoutMs: 300 }));
    await tick(2_000);
    expect(await unheard).toMatchObject({ name: 'RendezvousTimeoutError', cause: { name: 'ConnectionError' } });
    transport.consuming = Promise.resolve();
    transport.declaring = () => Promise.reject(conflict);
    const refused = caughtFrom(rendezvous.waitUntilReady({ a: 1 }));
    await tick(100);
    expect(await refused).toBe(conflict);
    transport.declaring = () => Promise.reject(new ConnectionError('away'));
    const unasked = caughtFrom(rendezvous.waitUntilReady({ a: 1 }, { timeoutMs: 300 }));
    await tick(400);
    expect(await unasked).toMatchObject({ name: 'RendezvousTimeoutError', missing: [{ pattern: 'a' }] });
  });

  it('a hundred at a time need one queue, and leave none', async () => {
    const { rendezvous, ready, transport, open, said } = await setUp();
    const all = Promise.all(Array.from({ length: 100 }, () => rendezvous.waitUntilReady({ a: 1 })));
    await tick(1);
    ready('a', ['a']);
    await expect(all).resolves.toHaveLength(100);
    await tick(100);
    expect([transport.consumers.length, open()]).toEqual([1, []]);
    expect(said().length).toBeLessThanOrEqual(1);
  });
});

describe('watching', () => {
  withFakeTimers();

  it('tells of everybody who comes and goes, until nobody listens', async () => {
    const { rendezvous, ready, hear, open, logger } = await setUp();
    const seen: string[] = [];
    const done = jest.fn();
    const subscription = rendezvous.changes().subscribe({
      next: ({ kind, member, members }: MembershipChange) =>
        seen.push(`${kind} ${member.instanceId} ${members.length}`),
      complete: done,
    });
    await tick(50);
    ready('a', ['x']);
    ready('b', ['x']);
    ready('b', ['y']);
    hear('rendezvous.left', { instance_id: 'a' });
    await tick(LEASE_MS + 10);
    expect(seen).toEqual(['joined a 1', 'joined b 2', 'changed b 2', 'left a 1', 'expired b 0']);
    subscription.unsubscribe();
    await tick();
    expect([open(), done.mock.calls, logger.lines, jest.getTimerCount()]).toEqual([[], [], [], 0]);
  });

  it('tells of another client once, however often it says the same without a time', async () => {
    const { rendezvous, ready } = await setUp();
    const seen: string[] = [];
    rendezvous.changes().subscribe(({ kind, member }) => seen.push(`${kind} ${String(member.roles)}`));
    await tick(50);
    for (const roles of [['x'], ['x'], ['x'], ['y']]) {
      ready('python', roles);
      await tick(10);
    }
    expect(seen).toEqual(['joined x', 'changed y']);
  });

  it('ends with the bus, and errors when the broker is out of reach', async () => {
    const { rendezvous, bus, transport } = await setUp({ options: { startup: { timeoutMs: 500 } } });
    transport.consuming = new Promise(() => undefined);
    const [error, complete] = [jest.fn(), jest.fn()];
    rendezvous.changes().subscribe({ error });
    await tick(2_000);
    expect(error).toHaveBeenCalledWith(expect.any(ConnectionError));
    transport.consuming = Promise.resolve();
    rendezvous.changes().subscribe({ complete });
    await tick(50);
    await bus.close();
    rendezvous.changes().subscribe({ complete });
    expect(complete).toHaveBeenCalledTimes(2);
  });

  it('begins with a look at the members, and goes on for a minute after the last', async () => {
    const { rendezvous, ready, said, open } = await setUp();
    expect(rendezvous.members()).toEqual([]);
    await tick(50);
    expect(said()).toEqual(['rendezvous.query']);
    ready('a', ['x'], { lease_ms: 3_000_000 });
    await tick(50_000);
    expect(ids(rendezvous.members())).toEqual(['a']);
    await tick(50_000);
    expect(open()).toHaveLength(1);
    await tick(11_000);
    expect([open(), said(), jest.getTimerCount()]).toEqual([[], ['rendezvous.query'], 0]);
    expect(rendezvous.members()).toEqual([]);
  });

  it('warns when a look cannot be had, and tries again with the next', async () => {
    const { rendezvous, transport, logger, open } = await setUp({ options: { startup: { timeoutMs: 500 } } });
    transport.consuming = Promise.reject(new ConnectionError('away'));
    rendezvous.members();
    await tick(10);
    expect(logger.lines).toEqual([expect.stringMatching(/^warn: The other instances are not known: .*away/)]);
    transport.consuming = Promise.resolve();
    rendezvous.members();
    await tick(50);
    expect(open()).toHaveLength(1);
  });
});

describe('strangers', () => {
  withFakeTimers();

  it('cannot speak for this instance: told of once', async () => {
    const { rendezvous, bodies, hear, ready, logger } = await setUp();
    await rendezvous.announceReady(['a']);
    const [own] = bodies();
    hear('ready', own); // its own, as it comes back
    expect(logger.lines).toEqual([]);
    for (let n = 0; n < 3; n++) {
      ready(own.instance_id, ['admin']);
      hear('rendezvous.left', { instance_id: own.instance_id, ts: 5 });
    }
    expect(rendezvous.members()).toMatchObject([{ roles: ['a'] }]);
    expect(logger.lines).toEqual([expect.stringMatching(/^warn: Somebody else uses the id of this instance/)]);
  });

  it('cannot fill the memory', async () => {
    const { rendezvous, ready, logger } = await setUp();
    const waiting = caughtFrom(rendezvous.waitUntilReady({ nobody: 1 }, { timeoutMs: 500 }));
    await tick(50);
    for (let n = 0; n < 10_050; n++) ready(`forged ${n}`, ['x']);
    expect(rendezvous.members()).toHaveLength(10_000);
    expect(logger.lines).toEqual([expect.stringMatching(/^warn: More than 10000 instances/)]);
    await tick(500);
    expect((await waiting).message.length).toBeLessThan(1_000);
  });

  it.each([
    ['topic', ['control', 'events'], 1],
    ['direct', ['control', 'events'], 1],
    ['fanout', ['control'], 1],
    ['headers', ['control'], 1],
  ] as const)('who know only the main exchange are heard if it is one of %s', async (type, names, queues) => {
    const { createExchangeHandler } = await import('../../../lib/exchanges/exchange.factory.js');
    const { rendezvous, open } = await setUp({ more: { exchange: createExchangeHandler(type) } });
    rendezvous.changes().subscribe();
    await tick(50);
    expect(open()).toHaveLength(queues);
    expect(
      open()[0]?.source.bindings.map(({ exchange }) => exchange.name.replace('events.control', 'control')),
    ).toEqual(names);
  });

  it('on an x-rtopic exchange are heard while somebody waits or watches, by a queue of its own', async () => {
    const { rendezvous, open, hear } = await setUp({ more: { exchange: new RTopicExchange() } });
    await rendezvous.announceReady(['a']);
    expect(open()).toHaveLength(1);
    const met = rendezvous.waitUntilReady({ python: 1 });
    await tick(50);
    expect(open().map(({ source }) => source.bindings[0]?.pattern)).toEqual([undefined, 'sys.rendezvous.ready']);
    hear('ready', { instance_id: 'p', roles: ['python'] }, 'sys.rendezvous.ready');
    await expect(met).resolves.toHaveLength(1);
    await tick();
    expect(open()).toHaveLength(1);
  });

  it('under the topic of the main exchange are believed to be ready, and nothing else', async () => {
    const { rendezvous, hear, ready } = await setUp();
    rendezvous.changes().subscribe();
    await tick(50);
    ready('a', ['x']);
    hear('rendezvous.left', { instance_id: 'a' }, 'sys.rendezvous.ready');
    expect(rendezvous.members()).toHaveLength(1);
  });
});
