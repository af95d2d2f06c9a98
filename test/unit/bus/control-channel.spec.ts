import { describe, expect, it, jest } from '@jest/globals';
import type { ControlListener } from '../../../lib/bus/control-channel.js';
import type { ControlBody } from '../../../lib/bus/control-wire.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { ACK } from '../../../lib/core/delivery.js';
import {
  BusClosedError,
  ConfigurationError,
  ConnectionError,
  MessageTooLargeError,
  TopologyConflictError,
  ValidationError,
} from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import { aBus } from '../support/buses.js';
import { caughtFrom } from '../support/caught.js';
import { deferred } from '../support/deferred.js';
import { FakeDelivery, type FakeDeliveryFields } from '../support/fake.delivery.js';
import type { FakeConsumer } from '../support/fake.transport.js';
import { withFakeTimers } from '../support/fake-timers.js';

const tick = (ms = 0) => jest.advanceTimersByTimeAsync(ms);
const away = (): Promise<void> => Promise.reject(new ConnectionError('away'));
const conflict = new TopologyConflictError([{ kind: 'exchange', entity: 'events.control' }]);

/** A listener that keeps what it is told. */
function aListener() {
  const heard: [string, ControlBody][] = [];
  const onGap = jest.fn();
  const listener: ControlListener = { onMessage: (kind, body) => heard.push([kind, body]), onGap };
  return { heard, onGap, listener };
}

function arrive(consumer: FakeConsumer | undefined, message: Partial<Message>, more: FakeDeliveryFields = {}) {
  const delivery = new FakeDelivery({ ...more, message: { topic: 'control', ...message } });
  consumer?.events.deliver(delivery);
  return delivery;
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function setUp(options: EventBusOptions = {}) {
  const made = aBus({ service: 'app', ...options });
  return { ...made, control: made.bus.control };
}

describe('the control channel', () => {
  withFakeTimers();

  it('declares and consumes nothing until it is used', async () => {
    const { bus, transport, logger } = setUp();
    await bus.prepare([]);
    await bus.start();
    await bus.close();
    const names = transport.topologies.flatMap(({ exchanges }) => exchanges.map(({ name }) => name));
    expect(names).toEqual(['events', 'events.broadcast']);
    expect([transport.declared, transport.consumers, transport.sent, logger.lines]).toEqual([[], [], [], []]);
  });

  it('sends JSON to its fanout whatever the bus is set to, and declares that first, once', async () => {
    const { control, transport } = setUp({ namespace: 'dev', exchange: { name: 'audit', type: 'headers' } });
    await control.send('ready', { roles: ['worker'] });
    await control.send('ready', { roles: [] });
    expect(transport.declared).toMatchObject([
      {
        owner: 'dev.app.control',
        bindings: [{ exchange: { name: 'dev.audit.control', handler: { type: 'fanout' } } }],
      },
    ]);
    const [{ target, message } = { target: undefined, message: undefined }] = transport.sent;
    expect(target).toMatchObject({ kind: 'exchange', exchange: { name: 'dev.audit.control' } });
    expect(message).toMatchObject({ topic: 'control', type: 'ready', contentType: 'application/json', source: 'app' });
    expect(JSON.parse(Buffer.from(message?.body ?? []).toString())).toEqual({ roles: ['worker'], kind: 'ready' });
    expect(transport.sent).toHaveLength(2);
  });

  it.each([
    ['a kind that is none', '', {}, ConfigurationError],
    ['a kind with spaces', 'a b', {}, ConfigurationError],
    ['a body that is no JSON', 'ready', { n: 1n }, ValidationError],
    ['a body that is too large', 'ready', { text: 'x'.repeat(70_000) }, MessageTooLargeError],
  ] as const)('refuses to send %s', async (_, kind, body, type) => {
    const { control, transport } = setUp();
    expect(await caughtFrom(control.send(kind, body))).toBeInstanceOf(type);
    expect(transport.sent).toEqual([]);
  });

  it('waits for a connection that comes, to send', async () => {
    const { control, transport } = setUp();
    transport.declaring = away;
    const sent = control.send('ready', {});
    await tick(250);
    expect(transport.sent).toEqual([]);
    transport.declaring = async () => undefined;
    await tick(100);
    await expect(sent).resolves.toBeUndefined();
    expect(transport.sent).toHaveLength(1);
  });

  it('gives up in time when there is no connection, or at once when waiting cannot help', async () => {
    const { control, transport } = setUp();
    transport.declaring = away;
    const failed = caughtFrom(control.send('ready', {}, { timeoutMs: 300 }));
    await tick(300);
    expect(await failed).toBeInstanceOf(ConnectionError);
    const stop = new AbortController();
    const aborted = caughtFrom(control.send('ready', {}, { signal: stop.signal }));
    await tick(10);
    stop.abort(new Error('enough'));
    expect((await aborted).message).toBe('enough');
    transport.declaring = () => Promise.reject(conflict);
    expect(await caughtFrom(control.send('ready', {}))).toBe(conflict);
    await tick(1_000);
    expect([transport.sent, jest.getTimerCount()]).toEqual([[], 0]);
  });

  it('has one private queue for all listeners, from the first to the last', async () => {
    const { control, transport } = setUp();
    const [one, two] = [aListener(), aListener()];
    const [stopOne, stopTwo] = await Promise.all([control.listen(one.listener), control.listen(two.listener)]);
    expect(transport.consumers).toHaveLength(1);
    const [consumer] = transport.consumers;
    expect(consumer?.source).toMatchObject({
      owner: 'app.control',
      bindings: [
        { exchange: { name: 'events.control' } },
        { exchange: { name: 'events' }, pattern: 'sys.rendezvous.ready' },
      ],
    });
    expect(consumer?.source.group).toBeUndefined();
    const delivery = arrive(consumer, { type: 'ready', body: json({ roles: [] }) });
    expect(delivery.outcomes).toEqual([ACK]);
    await stopOne();
    await stopOne();
    expect(consumer?.state).toBe('running');
    arrive(consumer, { type: 'query', body: json({}) });
    await stopTwo();
    expect(consumer?.state).toBe('closed');
    expect([one.heard, two.heard]).toEqual([
      [['ready', { roles: [] }]],
      [
        ['ready', { roles: [] }],
        ['query', {}],
      ],
    ]);
    await control.listen(one.listener);
    expect(transport.consumers).toHaveLength(2);
  });

  it('tells of a gap, and goes on after a listener that throws', async () => {
    const { control, transport, logger } = setUp();
    const good = aListener();
    await control.listen({
      onMessage: () => {
        throw new Error('mine');
      },
    });
    await control.listen(good.listener);
    const [consumer] = transport.consumers;
    consumer?.events.gap?.();
    arrive(consumer, { type: 'ready', body: json({}) });
    arrive(consumer, { type: 'ready', body: json({}) });
    expect([good.heard.length, good.onGap.mock.calls.length]).toEqual([2, 1]);
    expect(logger.lines).toEqual([expect.stringMatching(/^error: A listener to the other instances failed: .*mine/)]);
  });

  it('understands a body alone, as other clients write it', async () => {
    const { control, transport } = setUp();
    const { heard, listener } = aListener();
    await control.listen(listener);
    const body = { kind: 'ready', roles: ['x'], instance_id: 'a', ts: 1.5 };
    arrive(transport.consumers[0], { type: '', contentType: '', body: json(body) });
    expect(heard).toEqual([['ready', body]]);
  });

  it.each<[string, Partial<Message>, FakeDeliveryFields?]>([
    ['no JSON', { type: 'ready', body: Buffer.from('\x00\xff{') }],
    ['nothing', { type: 'ready', body: Buffer.alloc(0) }],
    ['an array', { type: 'ready', body: json([{ kind: 'ready' }]) }],
    ['null', { type: 'ready', body: json(null) }],
    ['a kind that is no text', { body: json({ kind: { toString: 1 } }) }],
    ['no kind', { body: json({}) }],
    ['a kind that is too long', { type: 'k'.repeat(65), body: json({}) }],
    ['a prototype', { type: 'ready', body: Buffer.from('{"__proto__":{"isAdmin":true}}') }],
    ['10 MiB', { type: 'ready', body: Buffer.from(`{"x":"${'a'.repeat(10 * 1_048_576)}"}`) }],
    ['30 000 levels', { type: 'ready', body: Buffer.from(`{"x":${'['.repeat(30_000)}${']'.repeat(30_000)}}`) }],
    ['something packed', { type: 'ready', contentEncoding: 'gzip', body: json({}) }],
    ['headers that cannot be read', { type: 'ready', body: json({}) }, { defect: 'nested' }],
  ])('ignores %s: counted, told of once, acknowledged', async (_, message, more = {}) => {
    const { control, transport, logger } = setUp();
    const { heard, listener } = aListener();
    await control.listen(listener);
    const deliveries = [arrive(transport.consumers[0], message, more), arrive(transport.consumers[0], message, more)];
    expect(deliveries.map(({ outcomes }) => outcomes)).toEqual([[ACK], [ACK]]);
    expect([heard, control.ignored]).toEqual([[], 2]);
    expect(logger.lines).toEqual([expect.stringMatching(/^warn: A message on "events.control" cannot be read/)]);
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  it('waits for the connection to listen, as long as it may, and then wants nothing any more', async () => {
    const { control, transport } = setUp({ startup: { timeoutMs: 500 } });
    const consuming = deferred();
    transport.consuming = consuming.promise;
    const stop = new AbortController();
    const aborted = caughtFrom(control.listen(aListener().listener, { signal: stop.signal }));
    const inTime = control.listen(aListener().listener);
    stop.abort(new Error('enough'));
    const late100 = caughtFrom(control.listen(aListener().listener, { timeoutMs: 100 }));
    await tick(100);
    consuming.resolve();
    await tick();
    expect([(await aborted).message, (await late100).name]).toEqual(['enough', 'ConnectionError']);
    await inTime;
    expect(transport.consumers.map(({ state }) => state)).toEqual(['running']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('closes what opens after everybody has given up', async () => {
    const { control, transport } = setUp();
    const consuming = deferred();
    transport.consuming = consuming.promise;
    const failed = caughtFrom(control.listen(aListener().listener, { timeoutMs: 100 }));
    await tick(100);
    consuming.resolve();
    expect(await failed).toBeInstanceOf(ConnectionError);
    await tick();
    expect(transport.consumers.map(({ state }) => state)).toEqual(['closed']);
  });

  it('tries again for the next listener after a failure', async () => {
    const { control, transport } = setUp();
    transport.consuming = Promise.reject(conflict);
    expect(await caughtFrom(control.listen(aListener().listener))).toBe(conflict);
    transport.consuming = Promise.resolve();
    await control.listen(aListener().listener);
    expect(transport.consumers).toHaveLength(1);
  });

  it('hears another exchange by a queue of its own', async () => {
    const { control, transport } = setUp();
    const [one, two] = [aListener(), aListener()];
    const exchange = { name: 'events', handler: setUp().exchange };
    await control.listen(one.listener);
    const stop = await control.listen(two.listener, { on: [{ exchange, pattern: 'sys.ready' }] });
    const other = transport.consumers.find(({ source }) => source.bindings[0]?.pattern === 'sys.ready');
    arrive(other, { topic: 'sys.ready', body: json({ kind: 'ready' }) });
    expect([one.heard.length, two.heard.length]).toEqual([0, 1]);
    await stop();
    expect(transport.consumers.map(({ state }) => state).toSorted()).toEqual(['closed', 'running']);
  });

  it('has everybody say goodbye when consuming ends, and closes with the bus', async () => {
    const { bus, control, transport } = setUp();
    await bus.prepare([]);
    control.onDeparture(() => control.send('gone', {}));
    await control.listen(aListener().listener);
    await bus.drain();
    expect(transport.sent.map(({ message }) => message.type)).toEqual(['gone']);
    expect(await caughtFrom(control.listen(aListener().listener))).toBeInstanceOf(BusClosedError);
    await control.send('still', {});
    await bus.close();
    await control.close();
    expect(transport.consumers.map(({ state }) => state)).toEqual(['closed']);
    expect(await caughtFrom(control.send('too.late', {}))).toBeInstanceOf(BusClosedError);
    expect(transport.sent.map(({ message }) => message.type)).toEqual(['gone', 'still']);
  });

  it('does not wait for ever for a goodbye, nor fail by one', async () => {
    const { bus, control, logger } = setUp({ shutdown: { deadlineMs: 500 } });
    control.onDeparture(() => Promise.reject(new Error('cannot')));
    control.onDeparture(() => new Promise(() => undefined));
    const closed = bus.close();
    await tick(2_000);
    await closed;
    expect(logger.lines).toEqual([expect.stringMatching(/^warn: The other instances may not know .*cannot/)]);
  });

  it('ends what waits to be heard or sent when it closes', async () => {
    const { bus, control, transport } = setUp();
    transport.consuming = deferred().promise;
    transport.declaring = away;
    const failures = [caughtFrom(control.listen(aListener().listener)), caughtFrom(control.send('ready', {}))];
    await tick(50);
    const closed = bus.close();
    await tick(2_000);
    expect((await Promise.all(failures)).map(({ name }) => name)).toEqual(['BusClosedError', 'BusClosedError']);
    await closed;
    expect(jest.getTimerCount()).toBe(0);
  });
});
