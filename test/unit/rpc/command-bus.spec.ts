import { getEventListeners } from 'node:events';
import { describe, expect, it, jest } from '@jest/globals';
import { commandGroup } from '../../../lib/bus/command-group.js';
import type { EventBusParts } from '../../../lib/bus/event-bus.parts.js';
import type { HandlerContext } from '../../../lib/bus/event-context.js';
import type { HandlerRegistration } from '../../../lib/bus/group-definition.js';
import { resolveOptions } from '../../../lib/bus/resolved-options.js';
import { BusClosedError, ConfigurationError, type RemoteError } from '../../../lib/core/errors.js';
import { DEFAULTS } from '../../../lib/core/limits.js';
import type { Message } from '../../../lib/core/message.js';
import type { Target } from '../../../lib/core/transport.js';
import { MemoryTransport } from '../../../lib/index.js';
import { CommandBus } from '../../../lib/rpc/command-bus.js';
import type { OutgoingCommand } from '../../../lib/rpc/command-options.js';
import { untilAborted } from '../../../lib/testing/contract/commands.js';
import { until } from '../../../lib/testing/contract/until.js';
import { fakeParts } from '../support/buses.js';
import { caughtFrom } from '../support/caught.js';
import { deferred, settled } from '../support/deferred.js';

const SETTINGS = {
  timeoutMs: 1_000,
  window: 100,
  messages: 100,
  bytes: 2 ** 20,
  onFull: 'reject',
  retain: 10,
} as const;

class Line extends MemoryTransport {
  readonly answers: Message[] = [];

  constructor() {
    super(SETTINGS);
  }

  override publish(target: Target, ...rest: [message: Message]): ReturnType<MemoryTransport['publish']> {
    if (target.kind === 'reply') this.answers.push(rest[0]);
    return super.publish(target, ...rest);
  }
}

type Work = (payload: unknown, context: HandlerContext) => unknown;

/** A bus in memory with one command, `work`. */
async function start(work: Work, more: Partial<EventBusParts> = {}) {
  const transport = new Line();
  const parts = { ...fakeParts({ service: 'shop' }), transport, ...more };
  const bus = new CommandBus(parts);
  const registration: HandlerRegistration = {
    place: 'Orders.work',
    group: commandGroup('events', 'work'),
    command: 'work',
    delivery: 'shared',
    rules: [],
    policy: { timeoutMs: 50 },
    invoke: (payload, context) => work(payload, context as HandlerContext),
  };
  await bus.prepare([registration]);
  await bus.start();
  return { bus, transport, logger: parts.logger };
}

describe('a bus with commands', () => {
  it('many requests that wait with one signal have one listener at it, and in the end none', async () => {
    const { bus } = await start((payload) => payload);
    const { signal } = new AbortController();
    const asked = Array.from({ length: 50 }, (_, n) => bus.request('work', n, { signal }));
    const streams = asked.map(() => bus.requestStream('work', 1, { signal }).next());
    await until('they are sent', () => (bus.stats().pendingRequests ?? 0) > 0);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await Promise.all([...asked, ...streams]);
    await until('they are answered', () => bus.stats().pendingRequests === 0);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    await bus.close();
  });

  it('a handler that took too long is answered for once', async () => {
    const { bus, transport } = await start(async (_, { signal }) => untilAborted(signal).catch(() => 'late'));
    const error = (await caughtFrom(bus.request('work'))) as RemoteError;
    expect(error.code).toBe('HANDLER_TIMEOUT');
    await bus.close();
    expect(transport.answers.map(({ type }) => type)).toEqual(['reply.error']);
  });

  it('one that does not hear is answered for when its grace is over, and never again', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
    try {
      const end = deferred<string>();
      const { bus, transport } = await start(() => end.promise);
      const failed = caughtFrom(bus.request('work', 1, { timeoutMs: 60_000 }));
      await settled();
      await jest.advanceTimersByTimeAsync(50 + DEFAULTS.handlerGraceMs);
      expect(await failed).toMatchObject({ code: 'HANDLER_TIMEOUT' });
      end.resolve('at last');
      await settled();
      await bus.close();
      expect(transport.answers.map(({ type }) => type)).toEqual(['reply.error']);
    } finally {
      jest.useRealTimers();
    }
  });

  it('closed: a request rejects, whether it has a signal or not', async () => {
    const { bus } = await start(() => 1);
    await bus.close();
    const { signal } = new AbortController();
    expect(await caughtFrom(bus.request('work', 1))).toBeInstanceOf(BusClosedError);
    expect(await caughtFrom(bus.request('work', 1, { signal }))).toBeInstanceOf(BusClosedError);
  });

  it('leaves no listener on a signal, whatever became of the request', async () => {
    const { bus } = await start((payload) => {
      if (payload === 'fail') throw new Error('as asked');
    });
    const { signal } = new AbortController();
    const listeners = new Set<unknown>();
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners.add(args[1]);
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners.delete(args[1]);
      remove(...args);
    };
    await bus.request('work', 'succeed', { signal });
    await caughtFrom(bus.request('work', 'fail', { signal }));
    await caughtFrom(bus.request('nobody.there', 1, { signal }));
    await bus.close();
    await caughtFrom(bus.request('work', 1, { signal }));
    expect(listeners.size).toBe(0);
  });

  it('what is no command is refused at its place', async () => {
    const { bus } = await start((payload) => payload);
    const wrong = [null, undefined, 'work', 7] as unknown as OutgoingCommand[];
    const results = await bus.requestAll([...wrong, { command: 'work', payload: 1 }]);
    expect(results.map((one) => (one.status === 'rejected' ? one.reason : one.value))).toEqual([
      ...wrong.map(() => expect.any(ConfigurationError)),
      1,
    ]);
    for (const first of [null, undefined, 7, {}] as unknown as string[])
      expect(await caughtFrom(bus.request(first))).toBeInstanceOf(ConfigurationError);
    await bus.close();
  });

  it('a request that does not say how long waits as long as the bus says', async () => {
    const { bus } = await start(() => new Promise(() => undefined), {
      options: resolveOptions({ service: 'shop', request: { timeoutMs: 30 }, shutdown: { deadlineMs: 100 } }),
    });
    expect(await caughtFrom(bus.request('work'))).toMatchObject({ code: 'REQUEST_TIMEOUT', retryable: true });
    expect((await caughtFrom(bus.request('work', 1, { timeoutMs: 40 }))).message).toContain('40 ms');
    await bus.close();
  });

  it('wrong options are refused before anything is sent', async () => {
    const { bus } = await start((payload) => payload);
    for (const options of [{ timeoutMs: 0 }, { timeoutMs: '1' }, { signal: 1 }, { unroutable: 'ignore' }] as object[])
      expect(await caughtFrom(bus.request('work', 1, options))).toBeInstanceOf(ConfigurationError);
    expect(bus.stats().pendingRequests).toBe(0);
    await bus.close();
  });

  it('requests go through what stands around each publish, and what is handled through what stands around handlers', async () => {
    const seen: string[] = [];
    const { bus } = await start((_, { message }) => message.headers.trace, {
      publishMiddleware: [
        async (context, next) => {
          seen.push(`publish ${context.message.topic}`);
          context.message = { ...context.message, headers: { ...context.message.headers, trace: 't-1' } };
          await next();
        },
      ],
      consumeMiddleware: [
        async (context, next) => {
          seen.push(`consume ${context.topic}`);
          await next();
        },
      ],
    });
    expect(await bus.request('work')).toBe('t-1');
    expect(seen).toEqual(['publish work', 'consume work']);
    await bus.close();
  });

  it('a publish middleware may refuse a request, and must not swallow it', async () => {
    const refused = new Error('as asked');
    const { bus } = await start(() => 1, { publishMiddleware: [() => Promise.reject(refused)] });
    expect(await caughtFrom(bus.request('work'))).toBe(refused);
    await bus.close();
    const { bus: silent } = await start(() => 1, { publishMiddleware: [async () => undefined] });
    expect(await caughtFrom(silent.request('work'))).toBeInstanceOf(ConfigurationError);
    expect(silent.stats().pendingRequests).toBe(0);
    await silent.close();
  });

  it('what stands around handlers and fails is the answer, be its error ever so odd', async () => {
    const hostile = Object.defineProperty(new Error('hostile'), 'details', {
      get: () => {
        throw new Error('a getter');
      },
    });
    const { bus } = await start(() => 1, { consumeMiddleware: [() => Promise.reject(hostile)] });
    expect(await caughtFrom(bus.request('work'))).toMatchObject({ message: 'hostile', code: 'REMOTE' });
    await bus.close();
  });

  it('nothing waits any more when answers come too late', async () => {
    const end = deferred();
    const { bus, transport } = await start(() => end.promise);
    await caughtFrom(bus.request('work', 1, { timeoutMs: 20 }));
    end.resolve();
    await until('it was answered', () => transport.answers.length === 1);
    expect(bus.stats().pendingRequests).toBe(0);
    await bus.close();
  });
});
