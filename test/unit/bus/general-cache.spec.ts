import { describe, expect, it } from '@jest/globals';
import type { EventBusOptions } from '../../../lib/bus/event-bus.options.js';
import { BusClosedError, ConfigurationError } from '../../../lib/core/errors.js';
import { aBus } from '../support/buses.js';
import { caught, caughtFrom, problemsOf } from '../support/caught.js';
import { deferred, settled } from '../support/deferred.js';

const ON_CONNECT: EventBusOptions['cache'] = { patterns: ['orders.*'], policy: 'on-connect' };

describe('the general cache', () => {
  it.each<[EventBusOptions, string]>([
    [{}, 'the option cache is not set. Set cache:'],
    [{ cache: { policy: 'off', patterns: ['a'] } }, "cache.policy is 'off'. Set cache:"],
    [{ cache: { policy: 'off' } }, "cache.policy is 'off'. Set cache:"],
  ])('is refused where there is none: %j', async (options, text) => {
    const { bus, transport } = aBus(options);
    await bus.prepare([]);
    const error = await caughtFrom(bus.cache());
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(text);
    expect(transport.consumers).toEqual([]);
  });

  it.each([
    [{}, 'cache.patterns is required: what the cache keeps.'],
    [{ patterns: [] }, 'cache.patterns must have at least 1 item.'],
    [{ patterns: [5] }, 'cache.patterns[0] must be a string'],
    [{ patterns: 'a', policy: 'on_connect' }, 'cache.policy must be one of'],
    [{ patterns: 'a', capacity: 0 }, 'cache.capacity must be a whole number'],
    [{ patterns: 'a', overflow: 'drop' }, 'cache.overflow must be one of'],
    [{ patterns: 'a', group: 'x' }, 'cache.group is not an option.'],
    [5, 'cache must be an object'],
    [null, 'cache must be an object'],
  ])('has its options checked: %j', (cache, text) => {
    const problems = problemsOf(() => aBus({ cache: cache as never }));
    expect(problems).toEqual([expect.stringContaining(text)]);
  });

  it('is refused at once with an exchange that there is not', () => {
    expect(caught(() => aBus({ cache: { patterns: 'a', exchange: 'audit' } })).message).toContain('audit');
  });

  it('of on-connect begins with the bus, which waits for it', async () => {
    const { bus, transport } = aBus({ cache: ON_CONNECT });
    const consuming = deferred();
    transport.consuming = consuming.promise;
    let isPrepared = false;
    const prepared = bus.prepare([]).then(() => {
      isPrepared = true;
    });
    await settled();
    expect([isPrepared, transport.consumers.length]).toEqual([false, 0]);
    consuming.resolve();
    await prepared;
    expect(transport.consumers.map(({ source }) => source.bindings[0]?.pattern)).toEqual(['orders.*']);
    expect(await bus.cache()).toBe(await bus.cache());
    expect(transport.consumers).toHaveLength(1);
  });

  it('of on-connect fails the start when it cannot begin', async () => {
    const { bus, transport } = aBus({ cache: ON_CONNECT });
    const error = new Error('access refused');
    transport.consuming = Promise.reject(error);
    expect(await caughtFrom(bus.prepare([]))).toBe(error);
  });

  it('of on-connect begins in the background with a bus that starts there; a failure is logged, and tried again', async () => {
    const { bus, transport, logger } = aBus({ cache: ON_CONNECT, startup: { mode: 'background' } });
    const [connecting, consuming] = [deferred(), deferred()];
    transport.connecting = connecting.promise;
    transport.consuming = consuming.promise;
    await bus.prepare([]);
    connecting.resolve();
    await settled();
    consuming.reject(new Error('access refused'));
    await settled();
    expect(logger.lines).toEqual(['error: The event bus cannot start as it should: Error: access refused']);
    transport.consuming = Promise.resolve();
    expect(await bus.cache()).toBe(await bus.cache());
    expect(transport.consumers).toHaveLength(1);
  });

  it('of on-demand begins with the first call, is one for all, and tries again after a failure', async () => {
    const { bus, transport } = aBus({ cache: { patterns: 'orders.*', capacity: 5 } });
    await bus.prepare([]);
    expect(transport.consumers).toHaveLength(0);
    const error = new Error('not now');
    transport.consuming = Promise.reject(error);
    expect(await Promise.all([caughtFrom(bus.cache()), caughtFrom(bus.cache())])).toEqual([error, error]);
    transport.consuming = Promise.resolve();
    const [one, two] = await Promise.all([bus.cache(), bus.cache()]);
    expect([one === two, transport.consumers.length]).toEqual([true, 1]);
  });

  it('begins anew, once, after somebody has closed it, and ends with the bus', async () => {
    const { bus, transport } = aBus({ cache: { patterns: ['orders.*'] } });
    const first = await bus.cache();
    await first.close();
    const [second, same] = await Promise.all([bus.cache(), bus.cache()]);
    expect([second === first, second === same, transport.consumers.length]).toEqual([false, true, 2]);
    await bus.close();
    expect(await caughtFrom(second.get())).toBeInstanceOf(BusClosedError);
    expect(await caughtFrom(bus.cache())).toBeInstanceOf(BusClosedError);
  });
});
