import { describe, expect, it, jest } from '@jest/globals';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import type { HandlerRegistration } from '../../../lib/bus/group-definition.js';
import {
  BusClosedError,
  ConfigurationError,
  ConnectionError,
  TopologyConflictError,
} from '../../../lib/core/errors.js';
import type { ConnectionState, Consumer } from '../../../lib/core/transport.js';
import { aBus } from '../support/buses.js';
import { deferred } from '../support/deferred.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { aRegistration } from '../support/handlers.js';

const BACKGROUND: EventBusOptions = { startup: { mode: 'background' } };
const tick = () => jest.advanceTimersByTimeAsync(0);

/** How a promise has ended by now. */
function watch(promise: Promise<unknown>): { outcome: unknown } {
  const seen: { outcome: unknown } = { outcome: 'pending' };
  promise.then(
    () => {
      seen.outcome = 'done';
    },
    (error: unknown) => {
      seen.outcome = error;
    },
  );
  return seen;
}

async function started(options?: EventBusOptions, registrations: HandlerRegistration[] = [aRegistration()]) {
  const made = aBus(options);
  await made.bus.prepare(registrations);
  await made.bus.start();
  return made;
}

describe('the life of a bus', () => {
  withFakeTimers();

  describe('prepare', () => {
    it('connects once, with both exchanges and the shared sources', async () => {
      const { bus, transport } = aBus({ service: 'shop' });
      const registrations = [
        aRegistration(),
        aRegistration({ group: 'off', policy: { prefetch: 3 } }),
        aRegistration({ group: 'each', delivery: 'broadcast' }),
      ];
      await Promise.all([bus.prepare(registrations), bus.prepare([])]);
      expect(transport.topologies).toHaveLength(1);
      const [topology] = transport.topologies;
      expect(topology?.exchanges.map(({ name }) => name)).toEqual(['events', 'events.broadcast']);
      expect(topology?.sources.map(({ group }) => group ?? 'private')).toEqual(['mail', 'off']);
    });

    it('tells what is wrong with the handlers before it connects', async () => {
      const { bus, transport } = aBus();
      await expect(bus.prepare([aRegistration({ ordered: 'key' })])).rejects.toBeInstanceOf(ConfigurationError);
      expect(transport.topologies).toEqual([]);
    });

    it('rejects with the error of the transport', async () => {
      const { bus, transport } = aBus();
      const error = new ConnectionError('refused', { retryable: false });
      transport.connecting = Promise.reject(error);
      await expect(bus.prepare([])).rejects.toBe(error);
    });

    it('in the background a bus whose transport goes on with what it can is up, and down while nothing can be published', async () => {
      const { bus, transport } = aBus(BACKGROUND);
      const error = new TopologyConflictError([{ kind: 'exchange', entity: 'events' }]);
      transport.connecting = Promise.reject(error);
      transport.obstacle = error;
      await bus.prepare([]);
      await tick();
      expect(bus.status).toBe('down');
      transport.obstacle = undefined;
      expect(bus.status).toBe('up');
    });

    it('waits for the broker so long and no longer, and names it', async () => {
      const { bus, transport } = aBus({ startup: { timeoutMs: 500 } });
      transport.connecting = new Promise(() => undefined);
      const prepared = watch(bus.prepare([]));
      await jest.advanceTimersByTimeAsync(499);
      expect(prepared.outcome).toBe('pending');
      await jest.advanceTimersByTimeAsync(1);
      expect(prepared.outcome).toBeInstanceOf(ConnectionError);
      expect(prepared.outcome).toMatchObject({ message: expect.stringMatching(/fake:1 .* 500 ms\. /) });
    });

    it('says why the broker was not ready, as far as is known', async () => {
      const { bus, transport } = aBus({ startup: { timeoutMs: 500 } });
      transport.connecting = new Promise(() => undefined);
      transport.connection.trouble = 'ECONNREFUSED';
      const prepared = watch(bus.prepare([]));
      await jest.advanceTimersByTimeAsync(500);
      expect(prepared.outcome).toMatchObject({ message: expect.stringContaining('500 ms (ECONNREFUSED).') });
    });

    it('says nothing in the background of a connection that the close has ended', async () => {
      const { bus, transport, logger } = aBus(BACKGROUND);
      const connecting = deferred();
      transport.connecting = connecting.promise;
      await bus.prepare([]);
      await bus.close();
      connecting.reject(new BusClosedError('connect'));
      await tick();
      expect(logger.lines).toEqual([]);
    });

    it('does not wait in the background, and logs what fails', async () => {
      const { bus, transport, logger } = aBus(BACKGROUND);
      const connecting = deferred();
      transport.connecting = connecting.promise;
      await bus.prepare([]);
      expect(bus.status).toBe('starting');
      connecting.reject(new ConnectionError('no credentials'));
      await tick();
      expect(logger.lines).toEqual([expect.stringMatching(/^error: .*cannot start.*ConnectionError: no credentials/)]);
    });
  });

  describe('start', () => {
    it('consumes each enabled group, and one private queue for the broadcasts of all shared ones', async () => {
      const { transport } = await started({ consume: { groups: { off: { enabled: false } } } }, [
        aRegistration(),
        aRegistration({ group: 'audit', pattern: '#' }),
        aRegistration({ group: 'off' }),
        aRegistration({ group: 'each', delivery: 'broadcast' }),
      ]);
      const names = transport.consumers.map(({ source }) => source.group);
      expect(names.filter((name) => name !== undefined).toSorted()).toEqual(['audit', 'mail']);
      const bound = transport.consumers
        .filter(({ source }) => source.group === undefined)
        .map(({ source }) => source.bindings.map(({ exchange, pattern }) => `${exchange.name} ${pattern}`).join());
      expect(bound.toSorted()).toEqual([
        'events orders.*,events.broadcast orders.*',
        'events.broadcast orders.*,events.broadcast #',
      ]);
    });

    it('starts once', async () => {
      const { bus, transport } = await started();
      await bus.start();
      expect(transport.consumers).toHaveLength(2);
    });

    it('has no private queue without shared groups', async () => {
      const { transport } = await started({}, [aRegistration({ delivery: 'broadcast' })]);
      expect(transport.consumers).toHaveLength(1);
    });

    it('rejects with what failed', async () => {
      const { bus, transport } = aBus();
      await bus.prepare([aRegistration()]);
      const error = new ConnectionError('conflict');
      transport.consuming = Promise.reject(error);
      await expect(bus.start()).rejects.toBe(error);
    });

    it('waits so long and no longer', async () => {
      const { bus, transport } = aBus({ startup: { timeoutMs: 500 } });
      await bus.prepare([aRegistration()]);
      transport.consuming = new Promise(() => undefined);
      const start = watch(bus.start());
      await jest.advanceTimersByTimeAsync(499);
      expect(start.outcome).toBe('pending');
      await jest.advanceTimersByTimeAsync(1);
      expect(start.outcome).toMatchObject({ constructor: ConnectionError, message: expect.stringContaining('500 ms') });
    });

    it('does not wait in the background; what fails is logged once and tried again until it succeeds', async () => {
      const { bus, transport, logger } = aBus(BACKGROUND);
      await bus.prepare([aRegistration({ delivery: 'broadcast' })]);
      const tries = jest.spyOn(transport, 'consume').mockRejectedValue(new ConnectionError('conflict'));
      await bus.start();
      await tick();
      expect(logger.lines).toEqual(['error: A consumer cannot start: ConnectionError: conflict']);
      expect(bus.status).toBe('degraded');
      await jest.advanceTimersByTimeAsync(9_999);
      expect(tries).toHaveBeenCalledTimes(1);
      await jest.advanceTimersByTimeAsync(10_001);
      expect(tries).toHaveBeenCalledTimes(3);
      tries.mockRestore();
      await jest.advanceTimersByTimeAsync(60_000);
      expect(transport.consumers).toHaveLength(1);
      expect(logger.lines).toHaveLength(1);
      expect(bus.status).toBe('up');
    });

    it('tries no more in the background once the bus stops', async () => {
      const { bus, transport } = aBus(BACKGROUND);
      await bus.prepare([aRegistration()]);
      const tries = jest.spyOn(transport, 'consume').mockRejectedValue(new ConnectionError('conflict'));
      await bus.start();
      await tick();
      expect(tries).toHaveBeenCalledTimes(2);
      await bus.drain();
      await jest.advanceTimersByTimeAsync(60_000);
      expect(tries).toHaveBeenCalledTimes(2);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('in the foreground a failure is the end: nothing is tried again', async () => {
      const { bus, transport } = aBus();
      await bus.prepare([aRegistration()]);
      const tries = jest.spyOn(transport, 'consume').mockRejectedValue(new ConnectionError('conflict'));
      await expect(bus.start()).rejects.toThrow('conflict');
      await jest.advanceTimersByTimeAsync(60_000);
      expect(tries).toHaveBeenCalledTimes(2);
    });

    it('says nothing in the background of a consumer that the close has kept from starting', async () => {
      const { bus, transport, logger } = aBus(BACKGROUND);
      await bus.prepare([aRegistration()]);
      const consuming = deferred();
      transport.consuming = consuming.promise;
      await bus.start();
      await bus.close();
      consuming.resolve();
      await tick();
      expect(transport.consumers.map(({ deadlines }) => deadlines)).toEqual([[0], [0]]); // and it was stopped
      expect(logger.lines).toEqual([]);
    });

    it.each(['drain', 'close'] as const)('is refused after a %s', async (end) => {
      const { bus, transport } = aBus();
      await bus.prepare([aRegistration()]);
      await bus[end]();
      await expect(bus.start()).rejects.toMatchObject({
        constructor: BusClosedError,
        message: expect.stringContaining('start'),
      });
      expect(transport.consumers).toEqual([]);
    });
  });

  describe('status', () => {
    it('is idle before anything, and closed in the end', async () => {
      const { bus } = aBus();
      expect(bus.status).toBe('idle');
      await bus.prepare([]);
      expect(bus.status).toBe('up');
      await bus.drain();
      expect(bus.status).toBe('up');
      await bus.close();
      expect(bus.status).toBe('closed');
    });

    it.each<[ConnectionState, string]>([
      ['up', 'up'],
      ['blocked', 'degraded'],
      ['down', 'down'],
      ['connecting', 'down'],
      ['idle', 'down'],
      ['closed', 'down'],
    ])('with a connection that is %s is %s', async (state, status) => {
      const { bus, transport } = await started();
      transport.connection.state = state;
      expect(bus.status).toBe(status);
    });

    it.each<[Consumer['state'], string]>([
      ['running', 'up'],
      ['paused', 'up'],
      ['recovering', 'degraded'],
      ['closed', 'up'],
    ])('with a consumer that is %s is %s', async (state, status) => {
      const { bus, transport } = await started({}, [aRegistration(), aRegistration({ group: 'audit' })]);
      const audit = transport.consumers.find(({ source }) => source.group === 'audit');
      if (audit) audit.state = state;
      expect(bus.status).toBe(status);
    });

    it('is starting until the connection first stands, whatever the driver says meanwhile', async () => {
      const { bus, transport } = aBus(BACKGROUND);
      const connecting = deferred();
      transport.connecting = connecting.promise;
      await bus.prepare([]);
      transport.connection.state = 'connecting';
      expect(bus.status).toBe('starting');
      transport.connection.state = 'up';
      expect(bus.status).toBe('starting');
      connecting.resolve();
      await tick();
      expect(bus.status).toBe('up');
    });

    it.each(['stands', 'fails'])('stays closed when the connection %s after the close', async (outcome) => {
      const { bus, transport } = aBus(BACKGROUND);
      const connecting = deferred();
      transport.connecting = connecting.promise;
      await bus.prepare([]);
      await bus.close();
      if (outcome === 'stands') connecting.resolve();
      else connecting.reject(new BusClosedError('connect'));
      await tick();
      expect(bus.status).toBe('closed');
    });
  });

  describe('the end', () => {
    it.each([
      [4_000, 3_200],
      [5_000, 4_000],
      [60_000, 59_000],
    ])(
      'within %d ms stops all consumers in %d, once, and keeps the rest for the last publishes',
      async (deadlineMs, drainMs) => {
        const { bus, transport } = await started({ shutdown: { deadlineMs } });
        await Promise.all([bus.drain(), bus.drain()]);
        expect(transport.consumers.map(({ deadlines }) => deadlines)).toEqual([[drainMs], [drainMs]]);
        expect(transport.closedBy).toEqual([]);
      },
    );

    it('drains before it closes, with what is left of the time', async () => {
      const { bus, transport } = await started({ shutdown: { deadlineMs: 4_000 } });
      const [consumer] = transport.consumers;
      const end = deferred();
      if (consumer) consumer.closing = end.promise;
      const closed = watch(Promise.all([bus.close(), bus.close()]));
      await jest.advanceTimersByTimeAsync(1_500);
      expect(transport.closedBy).toEqual([]);
      end.resolve();
      await tick();
      expect(transport.closedBy).toEqual([2_500]);
      expect(closed.outcome).toBe('done');
    });

    it.each([
      [10_000, 8_000, 2_000],
      [10_000, 9_500, 1_000],
      [10_000, 20_000, 1_000],
      [4_000, 3_900, 800],
    ])('of %d ms, of which draining took %d, leaves %d to say goodbye', async (deadlineMs, tookMs, leftMs) => {
      const { bus, transport } = await started({ shutdown: { deadlineMs } });
      const end = deferred();
      for (const consumer of transport.consumers) consumer.closing = end.promise;
      void bus.close();
      await jest.advanceTimersByTimeAsync(tookMs);
      end.resolve();
      await tick();
      expect(transport.closedBy).toEqual([leftMs]);
    });

    it('completes what is observed when draining has ended', async () => {
      const { bus } = await started();
      const log: string[] = [];
      bus.observe('a.*').subscribe({ complete: () => log.push('complete') });
      await tick();
      await bus.drain();
      expect(log).toEqual(['complete']);
    });
  });
});
