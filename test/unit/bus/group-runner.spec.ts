import { describe, expect, it, jest } from '@jest/globals';
import { SharedPlaces } from '../../../lib/bus/concurrency.js';
import type { Dispatcher } from '../../../lib/bus/dispatcher.js';
import { GroupCounters } from '../../../lib/bus/event-bus.stats.js';
import { GroupRunner, type GroupRunnerOptions } from '../../../lib/bus/group-runner.js';
import { ACK, type Delivery, RELEASE, type Settlement } from '../../../lib/core/delivery.js';
import { HandlerTimeoutError } from '../../../lib/core/errors.js';
import { type Deferred, deferred } from '../support/deferred.js';
import { FakeDelivery, type FakeDeliveryFields } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';
import { RecordingLogger } from '../support/recording.logger.js';

const TIMED_OUT: Settlement = { kind: 'dead', reason: 'timed out' };

/** The handlers that run, in the order in which they began; the test ends them. */
class Runs {
  readonly started: string[] = [];
  private readonly ends = new Map<string, Deferred<Settlement>>();

  readonly dispatcher = {
    handle: ({ message: { id } }: Delivery): Promise<Settlement> => {
      this.started.push(id);
      const end = deferred<Settlement>();
      this.ends.set(id, end);
      return end.promise;
    },
    timedOut: () => TIMED_OUT,
  } as unknown as Dispatcher;

  async end(id: string, outcome: Settlement = ACK): Promise<void> {
    this.ends.get(id)?.resolve(outcome);
    await jest.advanceTimersByTimeAsync(0);
  }
}

function setUp(options: Partial<GroupRunnerOptions> = {}) {
  const runs = new Runs();
  const logger = new RecordingLogger();
  const counters = new GroupCounters();
  const runner = new GroupRunner({
    group: 'mail',
    concurrency: 2,
    timeoutMs: 1_000,
    places: new SharedPlaces(100),
    dispatcher: runs.dispatcher,
    counters,
    logger,
    ...options,
  });
  const deliver = (id: string, fields: FakeDeliveryFields = {}): FakeDelivery => {
    const delivery = new FakeDelivery({ ...fields, message: { id, ...fields.message } });
    runner.deliver(delivery);
    return delivery;
  };
  return { runner, runs, logger, counters, deliver };
}

describe('GroupRunner', () => {
  withFakeTimers();

  it('tells who watches what became of each delivery', async () => {
    const settled = jest.fn();
    const { runs, deliver } = setUp({ watch: { settled } });
    const a = deliver('a');
    expect(settled).not.toHaveBeenCalled();
    await runs.end('a');
    expect(settled.mock.calls).toEqual([['mail', a, ACK]]);
  });

  it('runs as many at a time as the group may, the rest in order', async () => {
    const { runner, runs, deliver } = setUp();
    const [a] = ['a', 'b', 'c', 'd'].map((id) => deliver(id));
    expect(runs.started).toEqual(['a', 'b']);
    expect(runner.stats()).toMatchObject({ running: 2, waiting: 2 });
    await runs.end('b');
    expect(runs.started).toEqual(['a', 'b', 'c']);
    expect(a?.outcomes).toEqual([]);
    await runs.end('a');
    expect(a?.outcomes).toEqual([ACK]);
    expect(runs.started).toEqual(['a', 'b', 'c', 'd']);
    await runs.end('c');
    await runs.end('d');
    expect(runner.stats()).toMatchObject({ running: 0, waiting: 0 });
  });

  it('shares the places of the process with other groups', async () => {
    const places = new SharedPlaces(1);
    const [first, second] = [setUp({ places }), setUp({ places })];
    first.deliver('a');
    second.deliver('b');
    first.deliver('c');
    expect(second.runs.started).toEqual([]);
    await first.runs.end('a');
    expect(second.runs.started).toEqual(['b']);
    expect(first.runs.started).toEqual(['a']);
    await second.runs.end('b');
    expect(first.runs.started).toEqual(['a', 'c']);
  });

  describe('says what becomes of a delivery', () => {
    const failure = { name: 'RangeError', message: 'no stock' };

    it.each<[string, Settlement, FakeDeliveryFields, Partial<GroupCounters>, string[]]>([
      ['nothing of a success', ACK, {}, {}, []],
      ['nothing of one that is given back', RELEASE, {}, { released: 1 }, []],
      ['nothing of one that is put off', { kind: 'retry', delayMs: 5, attempt: 1 }, {}, { deferred: 1 }, []],
      [
        'a warning of a retry',
        { kind: 'retry', delayMs: 500, attempt: 4, failure },
        { attempt: 3 },
        { retried: 1 },
        ['warn: mail: attempt 3 of "orders.created" (a) failed, again in 500 ms: RangeError: no stock'],
      ],
      [
        'a warning, without an attempt, of one that nobody here understands',
        { kind: 'retry', delayMs: 500, attempt: 1, misses: 7, failure },
        { attempt: 1 },
        { retried: 1 },
        ['warn: mail: "orders.created" (a) is understood by no handler here (try 7), again in 500 ms.'],
      ],
      [
        'an error of a dead one of which nobody knew',
        { kind: 'dead', reason: 'unmatched', attempts: 10 },
        { attempt: 1 },
        { deadLettered: 1 },
        ['error: mail: "orders.created" (a) is dead after 10 attempts, reason unmatched'],
      ],
      [
        'an error of a dead one',
        { kind: 'dead', reason: 'forbidden', failure },
        { attempt: 1 },
        { deadLettered: 1 },
        ['error: mail: "orders.created" (a) is dead after 1 attempt, reason forbidden: RangeError: no stock'],
      ],
      [
        'an error on one line, whatever the message and its error contain',
        { kind: 'dead', reason: 'undecodable', failure: { name: 'DecodeError', message: 'bad\nerror: all is lost' } },
        { attempt: 1, message: { topic: 'a\n\u001b[2J' } },
        { deadLettered: 1 },
        [
          'error: mail: "a\\n\\u001b[2J" (a) is dead after 1 attempt, reason undecodable: DecodeError: bad\\nerror: all is lost',
        ],
      ],
      [
        'an error of a dead one without failure',
        { kind: 'dead', reason: 'expired' },
        { attempt: 2 },
        { deadLettered: 1 },
        ['error: mail: "orders.created" (a) is dead after 2 attempts, reason expired'],
      ],
    ])('%s', async (_, outcome, fields, counted, lines) => {
      const { runs, deliver, counters, logger } = setUp();
      const delivery = deliver('a', fields);
      await runs.end('a', outcome);
      expect(delivery.outcomes).toEqual([outcome]);
      expect(counters).toEqual(Object.assign(new GroupCounters(), counted));
      expect(logger.lines).toEqual(lines);
    });

    it.each<[string, () => boolean | Promise<boolean>, number]>([
      ['in time', () => true, 0],
      ['in time, later', async () => true, 0],
      ['too late', () => false, 1],
      ['too late, later', async () => false, 1],
    ])('and counts as stale what was settled %s', async (_, answer, stale) => {
      const { runs, deliver, counters } = setUp();
      deliver('a', { answer: answer() });
      await runs.end('a');
      expect(counters.stale).toBe(stale);
    });

    it('and outlives a transport that breaks its word', async () => {
      const { runs, deliver, logger, counters } = setUp();
      const answer = Promise.reject(new TypeError('driver'));
      deliver('a', { answer });
      await runs.end('a');
      expect(logger.lines).toEqual([
        'error: mail: a delivery could not be settled (TypeError: driver); it comes again.',
      ]);
      expect(counters.stale).toBe(0);
    });
  });

  it('counts how often its consumer was taken away', () => {
    const { runner } = setUp();
    runner.interrupted();
    runner.interrupted();
    expect(runner.stats()).toMatchObject({ interrupted: 2, stale: 0 });
  });

  describe('when it is stopped', () => {
    it('gives back what waits and what still comes; what runs goes on', async () => {
      const { runner, runs, deliver, counters } = setUp({ concurrency: 1 });
      const [a, b, c] = ['a', 'b', 'c'].map((id) => deliver(id));
      runner.stop();
      expect([b?.outcomes, c?.outcomes]).toEqual([[RELEASE], [RELEASE]]);
      expect(deliver('d').outcomes).toEqual([RELEASE]);
      expect(counters.released).toBe(3);
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 0 });
      await runs.end('a');
      expect(a?.outcomes).toEqual([ACK]);
      expect(runs.started).toEqual(['a']);
    });

    it('leaves no timer when it is disposed of, not even for a handler that never ends', async () => {
      const { runner, deliver } = setUp();
      deliver('a');
      await jest.advanceTimersByTimeAsync(900);
      deliver('b');
      await jest.advanceTimersByTimeAsync(100);
      expect(jest.getTimerCount()).toBe(2);
      runner.stop();
      runner.dispose();
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  it('never starts a delivery whose channel has gone while it waited: it comes again', async () => {
    const { runner, runs, deliver, counters } = setUp({ concurrency: 1 });
    const [, b, c] = ['a', 'b', 'c', 'd'].map((id) => deliver(id));
    b?.abort(new Error('channel gone'));
    c?.abort(new Error('channel gone'));
    await runs.end('a');
    expect(runs.started).toEqual(['a', 'd']);
    expect([b?.outcomes, c?.outcomes]).toEqual([[], []]);
    expect(counters.stale).toBe(2);
    expect(runner.stats()).toMatchObject({ running: 1, waiting: 0 });
  });

  it('makes room for new deliveries as soon as lost ones are seen', () => {
    const { runner, deliver, counters } = setUp({ concurrency: 1 });
    const [, b] = ['a', 'b'].map((id) => deliver(id));
    b?.abort(new Error('channel gone'));
    deliver('c');
    expect(runner.stats()).toMatchObject({ running: 1, waiting: 1 });
    expect(counters.stale).toBe(1);
  });

  describe('a handler that runs too long', () => {
    it('is told so by its signal, and settled when it ends', async () => {
      const { runs, deliver, runner } = setUp({ concurrency: 1 });
      const [a, b] = [deliver('a'), deliver('b')];
      await jest.advanceTimersByTimeAsync(999);
      expect(a.aborted).toBe(false);
      await jest.advanceTimersByTimeAsync(1);
      expect(a.signal.reason).toBeInstanceOf(HandlerTimeoutError);
      expect((a.signal.reason as Error).message).toBe('mail ran longer than 1000 ms.');
      expect([a.outcomes, runs.started]).toEqual([[], ['a']]); // its place is kept
      await runs.end('a', RELEASE);
      expect(a.outcomes).toEqual([TIMED_OUT]);
      expect(runs.started).toEqual(['a', 'b']);
      await runs.end('b');
      expect(b.outcomes).toEqual([ACK]);
      expect(runner.stats().running).toBe(0);
    });

    it('is done when the dispatcher says so after all: another run would repeat its effect', async () => {
      const { runs, deliver } = setUp();
      const a = deliver('a');
      await jest.advanceTimersByTimeAsync(2_000);
      await runs.end('a', ACK);
      expect(a.outcomes).toEqual([ACK]);
    });

    it('is settled without its end after 5 s more, once', async () => {
      const { runs, deliver, runner } = setUp({ concurrency: 1 });
      const a = deliver('a');
      deliver('b');
      deliver('c');
      await jest.advanceTimersByTimeAsync(5_999);
      expect(a.outcomes).toEqual([]);
      await jest.advanceTimersByTimeAsync(1);
      expect(a.outcomes).toEqual([TIMED_OUT]);
      expect(runs.started).toEqual(['a', 'b']);
      await runs.end('a', ACK);
      expect(a.outcomes).toEqual([TIMED_OUT]);
      expect(runs.started).toEqual(['a', 'b']);
      expect(runner.stats()).toMatchObject({ running: 1, waiting: 1 });
    });

    it('is none that has ended in time', async () => {
      const { runs, deliver } = setUp();
      const a = deliver('a');
      await runs.end('a');
      await jest.advanceTimersByTimeAsync(10_000);
      expect(a.aborted).toBe(false);
      expect(a.outcomes).toEqual([ACK]);
      expect(jest.getTimerCount()).toBe(0);
    });
  });
});
