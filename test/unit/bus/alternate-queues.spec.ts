import { describe, expect, it, jest } from '@jest/globals';
import { AlternateQueues, type AlternateTime } from '../../../lib/bus/alternate-queues.js';
import { BusExchanges } from '../../../lib/bus/bus-exchanges.js';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import {
  ConnectionError,
  PublishTimeoutError,
  TopologyConflictError,
  UnroutableError,
} from '../../../lib/core/errors.js';
import type { Source } from '../../../lib/core/transport.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { deferred } from '../support/deferred.js';
import { FakeTransport } from '../support/fake.transport.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aMessage } from '../support/message.js';

const ALL: EventBusOptions = { publish: { unroutable: 'alternate-exchange' } };
const conflict = new TopologyConflictError([{ kind: 'queue', entity: 'events.unroutable' }]);

function setUp(raw: EventBusOptions = {}, sourceOf: (group: string) => Source | undefined = () => undefined) {
  const options = resolveOptions(raw);
  const transport = new FakeTransport();
  const exchanges = new BusExchanges(options, new TopicExchange(), { audit: new TopicExchange() });
  const queues = new AlternateQueues({ options, exchanges, transport, sourceOf });
  const keep = (id = 'a', time: Partial<AlternateTime> = {}, exchange = exchanges.main): Promise<void> =>
    queues.keep(
      exchange,
      aMessage({ id, topic: 'orders.created' }),
      { end: Date.now() + 1_000, timeoutMs: 1_000, ...time },
      (target, message, o) => transport.publish(target, message, o),
    );
  const sentTo = (): readonly unknown[] =>
    transport.sent.map(({ target }) => target.kind === 'exchange' && target.exchange.name);
  return { queues, transport, exchanges, keep, sentTo };
}

describe('AlternateQueues', () => {
  withFakeTimers();
  const tick = () => jest.advanceTimersByTimeAsync(0);

  it('belong to the topology where all events go there, and are named with the namespace', () => {
    const { queues } = setUp({ ...ALL, namespace: 'dev' });
    expect(queues.sources.map(({ group }) => group)).toEqual(['dev.events.unroutable', 'dev.audit.unroutable']);
    expect(queues.sources[0]?.bindings).toMatchObject([
      { pattern: '#', exchange: { name: 'dev.events.ae', handler: { type: 'fanout' } } },
    ]);
    expect(setUp().queues.sources).toEqual([]);
    expect(setUp().queues.groups).toEqual(['events.unroutable', 'audit.unroutable']);
  });

  it('are as their handler wants them, where there is one', async () => {
    const own = { group: 'events.unroutable' } as Source;
    const sourceOf = (group: string): Source | undefined => (group === own.group ? own : undefined);
    expect(setUp(ALL, sourceOf).queues.sources[0]).toBe(own);
    const { keep, transport } = setUp({}, sourceOf);
    await keep();
    expect(transport.declared).toEqual([own]);
  });

  it('get the message as it is, without being declared once more', async () => {
    const { keep, transport, sentTo, exchanges } = setUp(ALL);
    await keep('a', { end: Date.now() + 300 });
    await keep('b', { end: Date.now() - 5 }, exchanges.get('audit'));
    expect(sentTo()).toEqual(['events.ae', 'audit.ae']);
    expect(transport.sent[0]?.message).toEqual(aMessage({ id: 'a', topic: 'orders.created' }));
    expect(transport.sent.map(({ options }) => options)).toEqual([
      { timeoutMs: 300, onFull: 'wait' },
      { timeoutMs: 1, onFull: 'wait' },
    ]);
    expect(transport.declared).toEqual([]);
  });

  it('are declared before the first message, once, and messages keep their order', async () => {
    const { keep, transport } = setUp();
    const declaring = deferred<void>();
    transport.declaring = () => declaring.promise;
    const kept = Promise.all([keep('a'), keep('b'), keep('c')]);
    await tick();
    expect(transport.sent).toEqual([]);
    declaring.resolve();
    await kept;
    await keep('d');
    expect(transport.declared).toHaveLength(1);
    expect(transport.sent.map(({ message }) => message.id)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are declared anew when something comes back even from there, once for all that does', async () => {
    const { keep, transport } = setUp(ALL);
    transport.publishing = async () => ({ routed: transport.declared.length > 0 });
    await Promise.all([keep('a'), keep('b'), keep('c')]);
    expect(transport.declared).toHaveLength(1);
    expect(transport.sent).toHaveLength(6);
  });

  it('reject what comes back again, and do not try for ever', async () => {
    const { keep, transport } = setUp(ALL);
    transport.publishing = async () => ({ routed: false });
    const error = await keep().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnroutableError);
    expect((error as Error).message).toMatch(/"events".*"orders\.created".*"events\.ae"/);
    expect(transport.sent).toHaveLength(2);
  });

  it('wait for a connection that comes back', async () => {
    const { keep, transport } = setUp();
    const down = new ConnectionError('not connected');
    transport.declaring = async () => {
      if (transport.declared.length < 4) throw down;
    };
    const kept = keep();
    await jest.advanceTimersByTimeAsync(400);
    await expect(kept).resolves.toBeUndefined();
    expect(transport.declared).toHaveLength(4);
  });

  it('reject at the deadline of each publish, and declare for the next one', async () => {
    const { keep, transport } = setUp();
    transport.declaring = () => Promise.reject(new Error('socket closed'));
    const short = keep('a', { end: Date.now() + 50, timeoutMs: 50 });
    const long = keep('b', { end: Date.now() + 60_000, timeoutMs: 60_000 });
    const outcomes = Promise.allSettled([short, long]);
    await jest.advanceTimersByTimeAsync(60);
    await expect(short).rejects.toBeInstanceOf(PublishTimeoutError);
    await jest.advanceTimersByTimeAsync(10_000);
    await outcomes;
    await expect(long).rejects.toMatchObject({
      constructor: ConnectionError,
      retryable: true,
      message: expect.stringContaining('"events.unroutable" could not be declared: Error: socket closed'),
    });
    transport.declaring = async () => undefined;
    await expect(keep('c')).resolves.toBeUndefined();
    expect(transport.sent.map(({ message }) => message.id)).toEqual(['c']);
  });

  it('reject at once for what waiting does not mend', async () => {
    const { keep, transport } = setUp();
    transport.declaring = () => Promise.reject(conflict);
    await expect(keep()).rejects.toBe(conflict);
    await expect(keep()).rejects.toBe(conflict);
    expect(transport.declared).toHaveLength(2);
  });

  it('stop waiting when they are told to', async () => {
    const { keep, transport } = setUp();
    transport.declaring = () => new Promise(() => undefined);
    const stop = new AbortController();
    const kept = keep('a', { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(kept).rejects.toThrow('enough');
    expect(jest.getTimerCount()).toBe(0);
  });
});
