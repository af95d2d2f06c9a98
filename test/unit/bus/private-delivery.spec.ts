import { describe, expect, it, jest } from '@jest/globals';
import { BroadcastHub, PrivateRetries } from '../../../lib/bus/private-delivery.js';
import type { Runner } from '../../../lib/bus/runner.js';
import type { Delays, Waiting } from '../../../lib/core/delays.js';
import { ACK, type Delivery, RELEASE, type Settlement } from '../../../lib/core/delivery.js';
import { HandlerTimeoutError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';
import { FakeDelivery } from '../support/fake.delivery.js';
import { withFakeTimers } from '../support/fake-timers.js';

const DEAD: Settlement = { kind: 'dead', reason: 'validation' };
const RETRY: Settlement = { kind: 'retry', delayMs: 100, attempt: 2 };

/** A runner that keeps what it is given. */
function aRunner() {
  const given: Delivery[] = [];
  return { given, runner: { deliver: (delivery: Delivery) => void given.push(delivery) } as unknown as Runner };
}

function setUp(fields: ConstructorParameters<typeof FakeDelivery>[0] = {}) {
  const { given, runner } = aRunner();
  const retries = new PrivateRetries(runner);
  const arrival = new FakeDelivery(fields);
  retries.deliver(arrival);
  const last = (): Delivery => {
    const delivery = given.at(-1);
    if (!delivery) throw new Error('Nothing was delivered.');
    return delivery;
  };
  return { retries, arrival, given, last };
}

describe('PrivateRetries', () => {
  withFakeTimers();

  it('hands on what arrives as it is', () => {
    const { arrival, last } = setUp({ attempt: 2, deferrals: 5, message: { id: 'm-9' } });
    expect(last()).toMatchObject({ attempt: 2, deferrals: 5, redelivered: true, aborted: false });
    expect(last().message).toBe(arrival.message);
    expect(last().defect).toBeUndefined();
    expect(setUp({ defect: 'a part is missing' }).last().defect).toBe('a part is missing');
    expect(setUp().last().redelivered).toBe(false);
    expect(setUp({ redelivered: true }).last().redelivered).toBe(true);
  });

  it.each([ACK, RELEASE, DEAD])('settles the arrival with what is final: %j', (outcome) => {
    const { arrival, last } = setUp({ answer: false });
    expect(last().settle(outcome)).toBe(false); // as the transport says
    expect(arrival.outcomes).toEqual([outcome]);
  });

  it('retries in the process, and settles the arrival only at the end', async () => {
    const { arrival, given, last } = setUp({ deferrals: 4 });
    expect(last().settle(RETRY)).toBe(true);
    await jest.advanceTimersByTimeAsync(99);
    expect(given).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(given).toHaveLength(2);
    expect(last()).toMatchObject({ attempt: 2, deferrals: 4, redelivered: true });
    expect(last().message).toBe(arrival.message);
    expect(arrival.outcomes).toEqual([]);
    void last().settle(DEAD);
    expect(arrival.outcomes).toEqual([DEAD]);
  });

  it('keeps until when a message was put off, and how often', async () => {
    const { arrival, last } = setUp();
    void last().settle({ kind: 'retry', delayMs: 10, attempt: 1, dueAt: 777, deferrals: 3 });
    await jest.advanceTimersByTimeAsync(10);
    expect(last()).toMatchObject({ attempt: 1, deferrals: 3, redelivered: false });
    expect(last().message).toEqual({ ...arrival.message, dueAt: 777 });
  });

  it('waits by the delays that it is given, of which some is skipped', () => {
    const { given, runner } = aRunner();
    const waiting: { readonly what: Waiting; readonly ms: number; readonly run: (skippedMs: number) => void }[] = [];
    const cancel = jest.fn();
    const delays: Delays = {
      later: (what, ms, run) => {
        waiting.push({ what, ms, run });
        return cancel;
      },
    };
    const retries = new PrivateRetries(runner, undefined, 'mail', delays);
    const arrival = new FakeDelivery();
    retries.deliver(arrival);
    void given[0]?.settle({ kind: 'retry', delayMs: 10, attempt: 2, dueAt: 777 });
    const put = { ...arrival.message, dueAt: 777 };
    expect(waiting).toMatchObject([{ what: { group: 'mail', attempt: 2, message: put }, ms: 10 }]);
    waiting[0]?.run(7);
    expect(given[1]).toMatchObject({ attempt: 2 });
    expect(given[1]?.message).toEqual({ ...arrival.message, dueAt: 770 });
    void given[1]?.settle(RETRY);
    retries.stop();
    expect(cancel).toHaveBeenCalledTimes(1);
    expect(arrival.outcomes).toEqual([RELEASE]);
  });

  it('a timeout ends one attempt, not the next one', async () => {
    const { arrival, given, last } = setUp();
    const first = last();
    first.abort(new HandlerTimeoutError('mail', 10));
    expect([first.aborted, first.signal.aborted, arrival.aborted]).toEqual([true, true, false]);
    expect(first.signal.reason).toBeInstanceOf(HandlerTimeoutError);
    void first.settle(RETRY);
    await jest.advanceTimersByTimeAsync(100);
    expect(given).toHaveLength(2);
    expect([last().aborted, last().signal.aborted]).toEqual([false, false]);
  });

  it('the end of the arrival ends every attempt', () => {
    const { arrival, last } = setUp();
    const { signal } = last();
    arrival.abort(new Error('gone'));
    expect([last().aborted, signal.aborted]).toEqual([true, true]);
    expect(signal.reason).toEqual(new Error('gone'));
  });

  it('gives back what waits for its next attempt when it stops, and what is retried from then on', async () => {
    const { retries, arrival, given, last } = setUp();
    const second = new FakeDelivery();
    retries.deliver(second);
    void given[0]?.settle(RETRY);
    retries.stop();
    expect(arrival.outcomes).toEqual([RELEASE]);
    void last().settle(RETRY);
    expect(second.outcomes).toEqual([RELEASE]);
    expect(jest.getTimerCount()).toBe(0);
    retries.stop();
    expect(arrival.outcomes).toEqual([RELEASE]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(given).toHaveLength(2);
  });

  it('gives back nothing that has got its next attempt', async () => {
    const { retries, arrival, last } = setUp();
    void last().settle(RETRY);
    await jest.advanceTimersByTimeAsync(100);
    retries.stop();
    expect(arrival.outcomes).toEqual([]);
  });

  it('counts with its group how often its queue was taken away', () => {
    const interrupted = jest.fn();
    new PrivateRetries({ interrupted } as unknown as Runner).interrupted();
    expect(interrupted).toHaveBeenCalledTimes(1);
  });

  it('tells of a gap whoever wants to know', () => {
    const onGap = jest.fn();
    new PrivateRetries(aRunner().runner, onGap).gap();
    expect(onGap).toHaveBeenCalledTimes(1);
    expect(() => new PrivateRetries(aRunner().runner).gap()).not.toThrow();
  });
});

describe('BroadcastHub', () => {
  withFakeTimers();

  function hubOf(...wants: ((message: Message) => boolean)[]) {
    const members = wants.map((each) => {
      const { given, runner } = aRunner();
      return { given, retries: new PrivateRetries(runner), wants: each };
    });
    return { hub: new BroadcastHub(members), given: members.map((member) => member.given) };
  }
  const yes = (): boolean => true;
  const no = (): boolean => false;

  it('hands a broadcast to every group that wants it, each with bytes of its own', () => {
    const { hub, given } = hubOf(yes, no, ({ topic }) => topic === 'orders.created');
    const arrival = new FakeDelivery();
    hub.deliver(arrival);
    expect(given.map((each) => each.length)).toEqual([1, 0, 1]);
    const [a, b] = [given[0]?.[0]?.message, given[2]?.[0]?.message];
    for (const message of [a, b]) {
      expect(message).toMatchObject({ id: 'm-1', topic: 'orders.created' });
      expect(Buffer.from(message?.body ?? [])).toEqual(arrival.message.body);
    }
    if (a) a.body[0] = 0;
    expect(b?.body[0]).toBe(arrival.message.body[0]);
    expect(arrival.message.body[0]).not.toBe(0);
  });

  it('is done with what nobody wants', () => {
    const arrival = new FakeDelivery();
    hubOf(no).hub.deliver(arrival);
    expect(arrival.outcomes).toEqual([ACK]);
  });

  const cases: [Settlement[], Settlement][] = [
    [[ACK, ACK], ACK],
    [[ACK, RELEASE, ACK], RELEASE],
    [[RELEASE, ACK], RELEASE],
    [[DEAD, ACK, ACK], DEAD],
    [[DEAD, RELEASE], DEAD],
    [[RELEASE, DEAD], DEAD],
  ];
  it.each(cases)('settles once, when all have, with the worst: %j', (outcomes, worst) => {
    const { hub, given } = hubOf(...outcomes.map(() => yes));
    const arrival = new FakeDelivery({ answer: false });
    hub.deliver(arrival);
    const answers = outcomes.map((outcome, index) => {
      expect(arrival.outcomes).toEqual([]);
      return given[index]?.[0]?.settle(outcome);
    });
    expect(arrival.outcomes).toEqual([worst]);
    expect(answers).toEqual([...outcomes.slice(1).map(() => true), false]); // the last one learns what came of it
  });

  it('retries each group by itself', async () => {
    const { hub, given } = hubOf(yes, yes);
    const arrival = new FakeDelivery();
    hub.deliver(arrival);
    void given[0]?.[0]?.settle(RETRY);
    void given[1]?.[0]?.settle(ACK);
    await jest.advanceTimersByTimeAsync(100);
    expect(given.map((each) => each.length)).toEqual([2, 1]);
    expect(arrival.outcomes).toEqual([]);
    void given[0]?.[1]?.settle(ACK);
    expect(arrival.outcomes).toEqual([ACK]);
  });

  it('stops all its groups', () => {
    const { hub, given } = hubOf(yes, yes);
    const arrival = new FakeDelivery();
    hub.deliver(arrival);
    for (const each of given) void each[0]?.settle(RETRY);
    hub.stop();
    expect(arrival.outcomes).toEqual([RELEASE]);
  });
});
