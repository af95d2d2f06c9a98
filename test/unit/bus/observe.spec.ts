import { getEventListeners } from 'node:events';
import { describe, expect, it, jest } from '@jest/globals';
import type { EventContext } from '../../../lib/bus/event-context.js';
import { observe } from '../../../lib/bus/observe.js';
import type { SubscribeHandler } from '../../../lib/bus/subscriber.js';
import type { Subscription } from '../../../lib/bus/subscription.js';
import { deferred, settled } from '../support/deferred.js';
import { aMessage } from '../support/message.js';

function setUp() {
  const end = new AbortController();
  const begun = deferred<Subscription>();
  const cancel = jest.fn(async () => undefined);
  const handlers: SubscribeHandler<number>[] = [];
  const onReady = jest.fn();
  const observable = observe<number>(
    (handler) => {
      handlers.push(handler);
      return begun.promise;
    },
    onReady,
    end.signal,
  );
  const log: unknown[] = [];
  const watch = () =>
    observable.subscribe({
      next: (item) => log.push(item),
      error: (error: unknown) => log.push(error),
      complete: () => log.push('complete'),
    });
  return {
    end,
    cancel,
    handlers,
    onReady,
    observable,
    log,
    watch,
    begun,
    ready: { cancel } as unknown as Subscription,
  };
}

describe('observe', () => {
  it('subscribes for each observer, and only then', () => {
    const { handlers, watch } = setUp();
    expect(handlers).toHaveLength(0);
    watch();
    watch();
    expect(handlers).toHaveLength(2);
  });

  it('says when it is ready, and gives each event', async () => {
    const { handlers, watch, onReady, begun, ready, log } = setUp();
    watch();
    expect(onReady).not.toHaveBeenCalled();
    begun.resolve(ready);
    await settled();
    expect(onReady).toHaveBeenCalledTimes(1);
    const message = aMessage({ headers: { region: 'eu' } });
    handlers[0]?.(7, { topic: message.topic, headers: message.headers, message } as EventContext);
    expect(log).toEqual([{ payload: 7, topic: 'orders.created', headers: { region: 'eu' }, message }]);
  });

  it('needs nobody who waits for it to be ready', async () => {
    const log: unknown[] = [];
    const subscribed = Promise.resolve({ cancel: async () => undefined } as Subscription);
    observe(() => subscribed, undefined, new AbortController().signal).subscribe({ error: (e) => log.push(e) });
    await settled();
    expect(log).toEqual([]);
  });

  it('cancels when the observer leaves, even before it is ready, and lets go of the bus', async () => {
    const { watch, cancel, begun, ready, end } = setUp();
    const subscription = watch();
    expect(getEventListeners(end.signal, 'abort')).toHaveLength(1);
    subscription.unsubscribe();
    expect(getEventListeners(end.signal, 'abort')).toHaveLength(0);
    expect(cancel).not.toHaveBeenCalled();
    begun.resolve(ready);
    await settled();
    expect(cancel).toHaveBeenCalledTimes(1);
  });

  it('fails as the subscription does, once', async () => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const { watch, begun, log, onReady } = setUp();
      const error = new RangeError('bad pattern');
      watch();
      begun.reject(error);
      await settled();
      expect(log).toEqual([error]);
      expect(onReady).not.toHaveBeenCalled();
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('completes with the bus', async () => {
    const { watch, begun, ready, end, log, cancel } = setUp();
    watch();
    begun.resolve(ready);
    await settled();
    end.abort();
    await settled();
    expect(log).toEqual(['complete']);
    expect(cancel).toHaveBeenCalledTimes(1);
  });
});
