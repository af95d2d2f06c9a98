import { describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { BatchRunner, type BatchRunnerOptions } from '../../../lib/bus/batch-runner.js';
import { SharedPlaces } from '../../../lib/bus/concurrency.js';
import { Dispatcher, type DispatcherOptions } from '../../../lib/bus/dispatcher.js';
import { GroupCounters } from '../../../lib/bus/event-bus.stats.js';
import type { EventContext } from '../../../lib/bus/event-context.js';
import { EventRegistry } from '../../../lib/bus/event-registry.js';
import { GroupInbox } from '../../../lib/bus/group-inbox.js';
import { HandlerMatcher } from '../../../lib/bus/handler-matcher.js';
import { HandlerScope } from '../../../lib/bus/handler-scope.js';
import { MemoryInboxStore } from '../../../lib/bus/memory-inbox.store.js';
import { MessageDecoder } from '../../../lib/bus/message-decoder.js';
import { ACK, RELEASE } from '../../../lib/core/delivery.js';
import { BatchError, DeadLetterError, HandlerTimeoutError, RetryLaterError } from '../../../lib/core/errors.js';
import { IdSource } from '../../../lib/core/id-source.js';
import { TopicExchange } from '../../../lib/exchanges/topic.exchange.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';
import { type Deferred, deferred } from '../support/deferred.js';
import { FakeDelivery, type FakeDeliveryFields } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { RecordingLogger } from '../support/recording.logger.js';

type Work = (payloads: readonly unknown[], contexts: readonly EventContext[]) => unknown;

interface SetUp extends Partial<Omit<BatchRunnerOptions, 'handler'>> {
  readonly work?: Work;
  readonly dispatching?: Partial<DispatcherOptions>;
  readonly isIdempotent?: boolean;
}

/** Lets all that is due now happen. */
const tick = (ms = 0): Promise<void> => jest.advanceTimersByTimeAsync(ms);

/** A runner whose batches end when the test says so, or as `work` says. */
function setUp({ work, dispatching, isIdempotent = false, ...options }: SetUp = {}) {
  const started: (readonly unknown[])[] = [];
  const ends: Deferred<unknown>[] = [];
  const counters = new GroupCounters();
  const logger = new RecordingLogger();
  const json = new JsonSerializer();
  const scope = new HandlerScope();
  const emit = jest.fn<DispatcherOptions['emit']>(async () => undefined);
  const handler = {
    place: 'Mail.onOrders',
    rules: [{ pattern: 'orders.*' }],
    invoke: (payloads: unknown, contexts: unknown): unknown => {
      started.push(payloads as unknown[]);
      if (work) return work(payloads as unknown[], contexts as EventContext[]);
      const end = deferred<unknown>();
      ends.push(end);
      return end.promise;
    },
  };
  const store = new MemoryInboxStore();
  const inbox = new GroupInbox({
    group: 'mail',
    scope: 'mail',
    store,
    timeoutMs: 1_000,
    windowMs: 60_000,
    ids: new IdSource(),
    logger,
  });
  const dispatcher = new Dispatcher({
    group: 'mail',
    matcher: new HandlerMatcher(new TopicExchange(), [handler]),
    retry: { delaysMs: [10, 20] },
    unmatched: { delaysMs: [70] },
    timeoutMs: 1_000,
    decoder: new MessageDecoder([json], 1_000),
    delay: 'exact',
    counters,
    scope,
    emit,
    registry: new EventRegistry(),
    ...(isIdempotent && { inbox }),
    ...dispatching,
  });
  const runner = new BatchRunner({
    group: 'mail',
    concurrency: 1,
    timeoutMs: 1_000,
    size: 3,
    waitMs: 100,
    places: new SharedPlaces(100),
    dispatcher,
    counters,
    logger,
    handler,
    scope,
    ...options,
  });
  const deliver = (id: string, { message, ...fields }: FakeDeliveryFields = {}): FakeDelivery => {
    const body = Buffer.from(JSON.stringify(id));
    const delivery = new FakeDelivery({ ...fields, message: { id, body, ...message } });
    runner.deliver(delivery);
    return delivery;
  };
  return { runner, started, ends, counters, logger, emit, store, deliver };
}

describe('BatchRunner', () => {
  withFakeTimers();

  describe('a batch begins', () => {
    it('as soon as it is full', async () => {
      const { started, deliver, runner } = setUp();
      for (const id of ['a', 'b']) deliver(id);
      expect(started).toEqual([]);
      expect(runner.stats()).toMatchObject({ running: 0, waiting: 2 });
      deliver('c');
      await tick();
      expect(started).toEqual([['a', 'b', 'c']]);
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 0 });
    });

    it('when its first message has waited for its time, which later ones do not begin anew', async () => {
      const { started, deliver } = setUp();
      deliver('a');
      await tick(60);
      deliver('b');
      await tick(39);
      expect(started).toEqual([]);
      await tick(1);
      expect(started).toEqual([['a', 'b']]);
    });

    it('at once when the first has waited long enough for a place', async () => {
      const { started, deliver, ends } = setUp();
      for (const id of ['a', 'b', 'c', 'd']) deliver(id);
      await tick(150);
      deliver('e');
      expect(started).toEqual([['a', 'b', 'c']]);
      ends[0]?.resolve(undefined);
      await tick();
      expect(started).toEqual([
        ['a', 'b', 'c'],
        ['d', 'e'],
      ]);
    });

    it('with no more than it may hold, however many have come meanwhile', async () => {
      const { started, deliver, ends, runner } = setUp();
      for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) deliver(id);
      await tick();
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 4 });
      ends[0]?.resolve(undefined);
      await tick();
      expect(started[1]).toEqual(['d', 'e', 'f']);
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 1 });
    });

    it('with what is left over when that has waited for its own time', async () => {
      const { started, deliver } = setUp({ concurrency: 2 });
      deliver('a');
      await tick(50);
      for (const id of ['b', 'c', 'd']) deliver(id);
      await tick();
      expect(started).toEqual([['a', 'b', 'c']]);
      await tick(99);
      expect(started).toHaveLength(1);
      await tick(1);
      expect(started[1]).toEqual(['d']);
    });

    it('as often at one time as the group may', async () => {
      const { started, deliver, ends } = setUp({ size: 1, concurrency: 2 });
      for (const id of ['a', 'b', 'c']) deliver(id);
      await tick(1_000 - 1);
      expect(started).toEqual([['a'], ['b']]);
      ends[1]?.resolve(undefined);
      await tick();
      expect(started).toEqual([['a'], ['b'], ['c']]);
    });

    it('when the process has a place, and takes one for all of it', async () => {
      const places = new SharedPlaces(1);
      const [first, second] = [setUp({ places }), setUp({ places })];
      for (const id of ['a', 'b', 'c']) first.deliver(id);
      for (const id of ['d', 'e', 'f']) second.deliver(id);
      await tick();
      expect([first.started, second.started]).toEqual([[['a', 'b', 'c']], []]);
      first.ends[0]?.resolve(undefined);
      await tick();
      expect(second.started).toEqual([['d', 'e', 'f']]);
      for (const id of ['g', 'h', 'i']) first.deliver(id);
      await tick();
      expect(first.started).toHaveLength(1);
      second.ends[0]?.resolve(undefined);
      await tick();
      expect(first.started).toHaveLength(2);
    });
  });

  it('makes the batches that the times of arrival ask for, each message in one of them', async () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(gaps, fc.integer({ min: 1, max: 5 }), async (waits, size) => {
        const { deliver, started } = setUp({ size, concurrency: 1_000, work: () => undefined });
        const expected: string[][] = [];
        let batch: string[] = [];
        let [now, first] = [0, 0];
        const flush = (): void => {
          if (batch.length > 0) expected.push(batch);
          batch = [];
        };
        for (const [n, wait] of waits.entries()) {
          await tick(wait);
          now += wait;
          if (now >= first + 100) flush();
          if (batch.length === 0) first = now;
          batch.push(`${n}`);
          deliver(`${n}`);
          if (batch.length === size) flush();
        }
        await tick(100);
        flush();
        expect(started).toEqual(expected);
      }),
    );
  });

  it('leaves no timer when nothing waits', async () => {
    const { deliver, ends, runner } = setUp();
    deliver('a');
    expect(jest.getTimerCount()).toBe(1);
    deliver('b');
    expect(jest.getTimerCount()).toBe(1);
    deliver('c');
    await tick();
    ends[0]?.resolve(undefined);
    await tick();
    runner.dispose();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('acknowledges all of a batch that succeeds, and publishes what each has emitted', async () => {
    const scope = new HandlerScope();
    const emitted: unknown[] = [];
    const { deliver, counters } = setUp({
      scope,
      work: (payloads, contexts) => {
        for (const [index, context] of contexts.entries()) context.emit('sent', payloads[index]);
      },
      dispatching: {
        scope,
        emit: async ({ topic, payload }, { origin }) => emitted.push([topic, payload, scope.inherit({}, origin)]),
      },
    });
    const all = ['a', 'b', 'c'].map((id) => deliver(id));
    await tick();
    expect(all.map(({ outcomes }) => outcomes)).toEqual([[ACK], [ACK], [ACK]]);
    const cause = (id: string) => ({ correlationId: id, causationId: id, depth: 1 });
    expect(emitted).toEqual(['a', 'b', 'c'].map((id) => ['sent', id, cause(id)]));
    expect(counters.handled).toBe(3);
  });

  it('settles each as its own error in a BatchError says, and publishes what the others have emitted', async () => {
    const failures = [new RangeError('no stock'), new DeadLetterError('never'), new RetryLaterError(500)];
    const { deliver, emit } = setUp({
      size: 4,
      work: (payloads, contexts) => {
        for (const [index, context] of contexts.entries()) context.emit('sent', payloads[index]);
        throw new BatchError(new Map(failures.entries()));
      },
    });
    const all = ['a', 'b', 'c', 'd'].map((id) => deliver(id, { attempt: 2 }));
    await tick();
    expect(all.map(({ outcomes }) => outcomes)).toMatchObject([
      [{ kind: 'retry', delayMs: 20, attempt: 3, failure: { message: 'no stock' } }],
      [{ kind: 'dead', reason: 'not-retryable', failure: { message: 'never' } }],
      [{ kind: 'retry', delayMs: 500, attempt: 2, deferrals: 1 }],
      [ACK],
    ]);
    expect(emit.mock.calls.map(([{ payload }]) => payload)).toEqual(['d']);
  });

  it('retries all with any other error', async () => {
    const { deliver, counters } = setUp({ work: () => Promise.reject(new RangeError('database away')) });
    const all = ['a', 'b', 'c'].map((id) => deliver(id));
    await tick();
    for (const { outcomes } of all) {
      expect(outcomes).toMatchObject([{ kind: 'retry', attempt: 2, failure: { message: 'database away' } }]);
    }
    expect([counters.retried, counters.handled]).toEqual([3, 0]);
  });

  it('settles what cannot be handled by itself, and hands on the rest', async () => {
    const { deliver, started, ends, runner } = setUp({ size: 5 });
    const broken = deliver('a', { message: { body: Buffer.from('{') } });
    const b = deliver('b');
    const expired = deliver('c', { message: { expiresAt: Date.now() - 1 } });
    const early = deliver('d', { message: { dueAt: Date.now() + 5_000 } });
    const foreign = deliver('e', { message: { topic: 'invoices.paid' } });
    await tick();
    expect(started).toEqual([['b']]);
    expect([broken, expired, early, foreign].map(({ outcomes }) => outcomes)).toMatchObject([
      [{ kind: 'dead', reason: 'undecodable' }],
      [ACK],
      [{ kind: 'retry', delayMs: 5_000, attempt: 1 }],
      [{ kind: 'retry', delayMs: 70, attempt: 1, misses: 1 }],
    ]);
    expect(b.outcomes).toEqual([]);
    expect(runner.stats()).toMatchObject({ running: 1 }); // it keeps its place
    ends[0]?.resolve(undefined);
    await tick();
    expect(b.outcomes).toEqual([ACK]);
  });

  it('calls nobody when nothing is left of a batch, and goes on', async () => {
    const { deliver, started, runner } = setUp();
    for (const id of ['a', 'b', 'c']) deliver(id, { message: { body: Buffer.from('{') } });
    for (const id of ['d', 'e', 'f']) deliver(id);
    await tick();
    expect(started).toEqual([['d', 'e', 'f']]);
    expect(runner.stats()).toMatchObject({ deadLettered: 3, running: 1 });
  });

  it('asks the inbox for each message', async () => {
    const { deliver, started, store, counters } = setUp({
      isIdempotent: true,
      work: () => {
        throw new BatchError([{ index: 0, error: new Error('no') }]);
      },
    });
    await store.done('mail', 'a', 60_000);
    const [a, b, c] = ['a', 'b', 'c'].map((id) => deliver(id));
    await tick();
    expect(started).toEqual([['b', 'c']]);
    expect([a, b, c].map((each) => each?.outcomes)).toMatchObject([[ACK], [{ kind: 'retry', attempt: 2 }], [ACK]]);
    expect([counters.duplicates, counters.handled]).toEqual([1, 1]);
    const claim = (id: string) => store.claim('mail', id, 1_000, 'test');
    expect([await claim('b'), await claim('c')]).toEqual(['new', 'done']);
  });

  it('handles a message that comes twice in one batch once', async () => {
    const { deliver, started, counters } = setUp({ isIdempotent: true, size: 2, work: () => undefined });
    const [first, second] = [deliver('a'), deliver('a')];
    await tick();
    expect(started).toEqual([['a']]);
    expect(first?.outcomes).toEqual([ACK]);
    expect(second?.outcomes).toMatchObject([{ kind: 'retry', delayMs: 1_000, attempt: 1 }]);
    expect(counters.handled).toBe(1);
  });

  it('runs middleware around the share of each message: it learns how that one fared, and may keep it out', async () => {
    const log: string[] = [];
    const { deliver, started } = setUp({
      work: () => {
        throw new BatchError([{ index: 1, error: new RangeError('no') }]);
      },
      dispatching: {
        middleware: [
          async ({ message: { id } }, next) => {
            if (id === 'a') return;
            await Promise.resolve();
            log.push(`> ${id}`);
            try {
              await next();
              log.push(`< ${id}`);
            } catch (error) {
              log.push(`< ${id} ${(error as Error).name}`);
              throw error;
            }
          },
        ],
      },
    });
    const all = ['a', 'b', 'c'].map((id) => deliver(id));
    await tick();
    expect(started).toEqual([['b', 'c']]);
    expect(log).toEqual(['> b', '> c', '< b', '< c RangeError']);
    expect(all.map(({ outcomes }) => outcomes[0]?.kind)).toEqual(['ack', 'ack', 'retry']);
  });

  describe('a batch that runs too long', () => {
    it('is told so by every signal, and settled when it ends', async () => {
      const { deliver, started, ends, counters } = setUp();
      const all = ['a', 'b', 'c'].map((id) => deliver(id));
      for (const id of ['d', 'e', 'f']) deliver(id);
      await tick(999);
      expect(all.map(({ aborted }) => aborted)).toEqual([false, false, false]);
      await tick(1);
      for (const { signal } of all) expect(signal.reason).toBeInstanceOf(HandlerTimeoutError);
      expect(all.map(({ outcomes }) => outcomes)).toEqual([[], [], []]);
      expect(started).toHaveLength(1); // its place is kept
      ends[0]?.resolve(undefined);
      await tick();
      for (const { outcomes } of all) {
        expect(outcomes).toMatchObject([{ kind: 'retry', attempt: 2, failure: { name: 'HandlerTimeoutError' } }]);
      }
      expect(started).toHaveLength(2);
      expect([counters.timedOut, counters.handled]).toEqual([3, 0]);
    });

    it('is settled without its end after 5 s more, once', async () => {
      const { deliver, started, ends, runner } = setUp();
      const all = ['a', 'b', 'c'].map((id) => deliver(id));
      for (const id of ['d', 'e', 'f']) deliver(id);
      await tick(5_999);
      expect(all.map(({ outcomes }) => outcomes)).toEqual([[], [], []]);
      await tick(1);
      for (const { outcomes } of all) expect(outcomes).toMatchObject([{ kind: 'retry' }]);
      expect(started).toHaveLength(2);
      ends[0]?.resolve(undefined);
      await tick();
      for (const { outcomes } of all) expect(outcomes).toHaveLength(1);
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 0 });
    });

    it('has not aborted what was settled before', async () => {
      const { deliver } = setUp();
      const broken = deliver('a', { message: { body: Buffer.from('{') } });
      for (const id of ['b', 'c']) deliver(id);
      await tick(1_000);
      expect(broken.aborted).toBe(false);
      expect(broken.outcomes).toMatchObject([{ kind: 'dead', reason: 'undecodable' }]);
    });

    it('counts for what the inbox remembers, and no more for the rest', async () => {
      const { deliver, ends, counters } = setUp({ isIdempotent: true });
      const all = ['a', '', 'c'].map((id) => deliver(id));
      await tick(1_000);
      ends[0]?.reject(new BatchError([{ index: 2, error: new Error('no') }]));
      await tick();
      expect(all.map(({ outcomes }) => outcomes[0]?.kind)).toEqual(['ack', 'retry', 'retry']);
      expect(counters.handled).toBe(1);
    });

    it('before its handler was called does not call it any more', async () => {
      const slow = deferred();
      const { deliver, started } = setUp({
        dispatching: {
          middleware: [
            async ({ message }, next) => {
              if (message.id === 'a') await slow.promise;
              await next();
            },
          ],
        },
      });
      const all = ['a', 'b', 'c'].map((id) => deliver(id));
      await tick(1_000);
      expect(all.map(({ outcomes }) => outcomes.length)).toEqual([0, 1, 1]);
      slow.resolve();
      await tick();
      expect(started).toEqual([]);
      for (const { outcomes } of all) {
        expect(outcomes).toMatchObject([{ kind: 'retry', failure: { name: 'HandlerTimeoutError' } }]);
      }
    });
  });

  it('never starts deliveries whose channel has gone while they waited: they come again', async () => {
    const { deliver, started, counters, runner } = setUp();
    const [a, b] = ['a', 'b'].map((id) => deliver(id));
    await tick(50);
    a?.abort(new Error('channel gone'));
    deliver('c');
    expect(runner.stats()).toMatchObject({ waiting: 2, stale: 1 });
    await tick(50);
    expect(started).toEqual([['b', 'c']]);
    expect([a?.outcomes, counters.stale]).toEqual([[], 1]);
    expect(b?.aborted).toBe(false);
  });

  it('leaves out of a batch what was lost in its middle', async () => {
    const { deliver, started, counters } = setUp({ size: 4 });
    const [, b] = ['a', 'b', 'c'].map((id) => deliver(id));
    b?.abort(new Error('channel gone'));
    deliver('d');
    await tick();
    expect(started).toEqual([['a', 'c', 'd']]);
    expect([b?.outcomes, counters.stale]).toEqual([[], 1]);
  });

  it('when all that waited is lost has nothing to do', async () => {
    const { deliver, started, runner } = setUp();
    deliver('a').abort(new Error('channel gone'));
    await tick(1_000);
    expect(started).toEqual([]);
    expect(runner.stats()).toMatchObject({ waiting: 0, stale: 1 });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('when it is stopped gives back what waits for its batch, and what still comes; what runs goes on', async () => {
    const { deliver, runner, started, ends, counters } = setUp();
    const running = ['a', 'b', 'c'].map((id) => deliver(id));
    const d = deliver('d');
    await tick();
    runner.stop();
    expect(d.outcomes).toEqual([RELEASE]);
    expect(deliver('e').outcomes).toEqual([RELEASE]);
    ends[0]?.resolve(undefined);
    await tick(1_000);
    expect(running.map(({ outcomes }) => outcomes)).toEqual([[ACK], [ACK], [ACK]]);
    expect(started).toHaveLength(1);
    expect(counters.released).toBe(2);
    runner.dispose();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('counts how often its consumer was taken away', () => {
    const { runner } = setUp();
    runner.interrupted();
    expect(runner.stats()).toMatchObject({ interrupted: 1 });
  });
});
